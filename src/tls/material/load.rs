//! Reads and checks a set of TLS files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateRevocationListDer;

use super::coverage::coverage_warnings;
use super::findings::{finding_lines, findings};
use super::item::{TlsItem, TlsItemKind};
use crate::tls::errors::file_error::{FileError, FileRole};
use crate::tls::files::{Password, TlsFiles};
use crate::tls::identity::{Identity, ValidityCheck};
use crate::tls::pem::{self, PemFile, PemItem};
use crate::tls::provider::provider;
use crate::tls::resumption;
use crate::tls::revocation::CrlSet;
use crate::tls::revocation::unsupported::CRL_REMEDY;
use crate::tls::verifier::ca::{CaCertificate, apply_issuer_limits};
use crate::tls::verifier::chain::ChainVerifier;

/// The contents of a set of TLS files.
pub(super) struct LoadedFiles {
    pub(super) serving: Option<Identity>,
    pub(super) cluster: Option<Identity>,
    /// Verifies servers, and clients if there is no cluster CA file.
    pub(super) ca: Option<Arc<ChainVerifier>>,
    pub(super) cluster_ca: Option<Arc<ChainVerifier>>,
    /// CAs and CRLs of the files.
    authorities: Vec<TlsItem>,
}

/// A CA file: its CA certificates and its CRLs.
struct CaFile {
    role: FileRole,
    path: PathBuf,
    cas: Vec<CaCertificate>,
    crls: Vec<CrlDer>,
}

type CrlDer = PemItem<CertificateRevocationListDer<'static>>;

impl LoadedFiles {
    /// # Errors
    /// All errors in all files.
    pub(super) fn read(files: &TlsFiles, check: ValidityCheck) -> Result<LoadedFiles, Vec<FileError>> {
        let mut errors = Vec::new();
        let mut note = |error: FileError| errors.push(error);
        let serving =
            identity(FileRole::CertificateKey, &files.certificate_key, &files.certificate_key_password, check);
        let cluster = identity(FileRole::Cluster, &files.cluster, &files.cluster_password, check);
        let ca_file = |role, path: &Option<PathBuf>| path.as_deref().map(|path| CaFile::read(role, path)).transpose();
        let ca = ca_file(FileRole::Ca, &files.ca).map_err(&mut note).ok().flatten();
        let cluster_ca = ca_file(FileRole::ClusterCa, &files.cluster_ca).map_err(&mut note).ok().flatten();
        let ca_files = || ca.iter().chain(&cluster_ca);
        let crls = files.crl.as_deref().map(|path| read_crls(path, ca_files())).transpose();
        let (crls, crl_items) = crls.map_err(&mut note).ok().flatten().unwrap_or_default();
        let mut authorities: Vec<_> = ca_files().flat_map(|file| file.items(&crls)).collect();
        authorities.extend(crl_items);
        let crls = Arc::new(crls);
        let verifier = |file: CaFile| {
            Arc::new(ChainVerifier::new(file.cas, Arc::clone(&crls), provider().signature_verification_algorithms))
        };
        let loaded = LoadedFiles {
            serving: serving.map_err(&mut note).ok().flatten(),
            cluster: cluster.map_err(&mut note).ok().flatten(),
            ca: ca.map(verifier),
            cluster_ca: cluster_ca.map(verifier),
            authorities,
        };
        if errors.is_empty() { Ok(loaded) } else { Err(errors) }
    }

    /// All certificates and CRLs, in this order: our certificates, their chains, CAs, CRLs.
    pub(super) fn items(&self, files: &TlsFiles) -> Vec<TlsItem> {
        let serving = (FileRole::CertificateKey, &files.certificate_key, &self.serving);
        let cluster = (FileRole::Cluster, &files.cluster, &self.cluster);
        let ours = [serving, cluster].into_iter();
        let ours = ours.filter_map(|(role, path, identity)| Some((role, path.as_deref()?, identity.as_ref()?)));
        let ours = ours.flat_map(|(role, path, identity)| {
            let kinds = std::iter::once(TlsItemKind::Certificate).chain(std::iter::repeat(TlsItemKind::Chain));
            let certificates = identity.key.cert.iter().zip(kinds);
            certificates.filter_map(move |(der, kind)| TlsItem::of_certificate(role, path, kind, der))
        });
        let mut all: Vec<_> = ours.collect();
        all.sort_by_key(|item| item.kind);
        all.extend(self.authorities.iter().cloned());
        all
    }

    pub(super) fn warnings(&self, items: &[TlsItem]) -> Vec<String> {
        let mut warnings = finding_lines(&findings(items, resumption::now()));
        warnings.extend(coverage_warnings(items));
        if self.serving.as_ref().is_some_and(|identity| !identity.server_auth) {
            warnings.push(format!(
                "{}: its extended key usage lacks serverAuth; clients will refuse it",
                FileRole::CertificateKey
            ));
        }
        for (role, identity) in [(FileRole::CertificateKey, &self.serving), (FileRole::Cluster, &self.cluster)] {
            if identity.as_ref().is_some_and(Identity::is_issued_ca) {
                warnings.push(format!(
                    "{role}: it is a CA certificate (basicConstraints CA:TRUE) that another CA issued: peers that run \
                     tlsramp refuse it; reissue it with CA:FALSE"
                ));
            }
        }
        if self.cluster.as_ref().is_some_and(|identity| !identity.client_auth) {
            warnings.push(format!(
                "{}: its extended key usage lacks clientAuth; servers will refuse it",
                FileRole::Cluster
            ));
        }
        warnings
    }
}

fn identity(
    role: FileRole,
    path: &Option<PathBuf>,
    password: &Option<Password>,
    check: ValidityCheck,
) -> Result<Option<Identity>, FileError> {
    let Some(path) = path else { return Ok(None) };
    let password = password.as_ref().map(Password::read).transpose();
    let password = password.map_err(|problem| FileError::new(role, path, problem, "correct the password file"))?;
    Identity::read(role, path, password.as_ref(), check).map(Some)
}

impl CaFile {
    fn read(role: FileRole, path: &Path) -> Result<CaFile, FileError> {
        let error = |problem: String, remedy| FileError::new(role, path, problem, remedy);
        let PemFile { certificates, crls, .. } = pem::read(role, path, None)?;
        let algorithms = provider().signature_verification_algorithms;
        let cas =
            certificates.into_iter().map(|item| CaCertificate::new(item, &algorithms)).collect::<Result<Vec<_>, _>>();
        let mut cas = cas.map_err(|problem| error(problem, "remove it, or reissue it as X.509 v3"))?;
        apply_issuer_limits(&mut cas, &algorithms);
        if cas.is_empty() {
            let problem = "the file contains no usable CA certificate".to_owned();
            return Err(error(problem, "put the CA's certificate (X.509 v3) into it as PEM"));
        }
        Ok(CaFile { role, path: path.to_owned(), cas, crls })
    }

    fn items(&self, crls: &CrlSet) -> impl Iterator<Item = TlsItem> {
        self.cas.iter().filter_map(|ca| {
            let item = TlsItem::of_certificate(self.role, &self.path, TlsItemKind::Authority, &ca.der)?;
            Some(TlsItem {
                verifies: ca.issues_anything().then_some((ca.not_before, ca.not_after)),
                has_crl: ca.signs_crls && crls.has_list_of(&ca.raw_subject, &ca.raw_key),
                is_useless: ca.is_useless(),
                lacks_root: ca.lacks_root,
                is_above: ca.is_above,
                ..item
            })
        })
    }
}

/// Reads the CRLs of the CRL file and, as OpenSSL does, those of the CA files.
fn read_crls<'a>(
    path: &Path,
    ca_files: impl Iterator<Item = &'a CaFile> + Clone,
) -> Result<(CrlSet, Vec<TlsItem>), FileError> {
    let error = |problem: String, remedy| FileError::new(FileRole::Crl, path, problem, remedy);
    let own = pem::read(FileRole::Crl, path, None)?.crls;
    if own.is_empty() {
        return Err(error("the file contains no certificate revocation list (BEGIN X509 CRL)".into(), CRL_REMEDY));
    }
    let own = own.into_iter().map(|crl| ((FileRole::Crl, path), crl));
    let of_ca_files = ca_files.clone();
    let of_ca_files = of_ca_files.flat_map(|file| file.crls.iter().map(|crl| ((file.role, &*file.path), crl.clone())));
    let (places, crls): (Vec<_>, Vec<_>) = own.chain(of_ca_files).unzip();
    let cas: Vec<&[u8]> = ca_files.flat_map(|file| &file.cas).map(|ca| ca.der.as_ref()).collect();
    let algorithms = provider().signature_verification_algorithms;
    let set = CrlSet::new(&crls, &cas, &algorithms).map_err(|(problem, remedy)| error(problem, remedy))?;
    let items =
        places.iter().zip(&crls).zip(set.groups()).filter_map(|(((role, path), crl), group)| {
            TlsItem::of_list(*role, path, &crl.der, *group, set.key_of(*group))
        });
    let items = items.collect();
    Ok((set, items))
}
