//! One set of TLS files as configurations: all or nothing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ServerSessionMemoryCache, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::fault::{Fault, FileRole};
use super::files::{Password, TlsFiles};
use super::pem::Found;
use super::validity::{Kind, Validity, findings, lines};
use super::verify::{ClientVerifier, ServerVerifier};
use super::{DisabledProtocols, Identity, pem, provider};
use crate::limits::{CLIENT_CONFIGS, CLIENT_SESSIONS, SERVER_SESSIONS};

/// Everything TLS of one snapshot: what clients are served with and servers are dialled with.
#[derive(Debug)]
pub struct Material {
    /// Shown to clients.
    pub serving: Option<Identity>,
    /// Shown to servers: the cluster file, or else the same.
    pub outgoing: Option<Identity>,
    /// Whether identities of peers are worth nothing, because certificates need not verify.
    pub allow_invalid_certificates: bool,
    server: Option<Arc<ServerConfig>>,
    /// For the admin port: a client certificate that verifies, whatever the switches say.
    admin: Option<Arc<ServerConfig>>,
    /// Judges clients as `server` does; none if none is asked for a certificate.
    clients_judge: Option<Arc<ClientVerifier>>,
    validities: Vec<Validity>,
    dialling: Option<Dialling>,
    /// One configuration per set of accepted names: sessions of one server never resume with another. Bounded by
    /// the routes, which alone name servers.
    clients: Mutex<HashMap<Vec<ServerName<'static>>, Arc<ClientConfig>>>,
}

/// What outgoing configurations are made from.
#[derive(Debug)]
struct Dialling {
    verifier: Option<Arc<WebPkiServerVerifier>>,
    allow_invalid_hostnames: bool,
    versions: Vec<&'static SupportedProtocolVersion>,
}

/// The files, read.
struct Read {
    serving: Option<Identity>,
    cluster: Option<Identity>,
    ca: Option<Arc<RootCertStore>>,
    cluster_ca: Option<Arc<RootCertStore>>,
    crls: Vec<CertificateRevocationListDer<'static>>,
    /// Those of the roots.
    authorities: Vec<Validity>,
}

impl Material {
    /// Reads all files and builds both sides. With it come warnings: what is legal and will hurt later.
    ///
    /// # Errors
    /// Every fault of every file. Nothing is kept of a set with one.
    pub fn load(files: &TlsFiles) -> Result<(Material, Vec<String>), Vec<Fault>> {
        let read = Read::all(files)?;
        let versions = versions(files.disabled);
        let clients_judge = read.clients_judge(files, false).map_err(|fault| vec![fault])?;
        let server = read.server(files, &versions, clients_judge.clone()).map_err(|fault| vec![fault])?;
        let admin = read.admin(files, &versions).map_err(|fault| vec![fault])?;
        let dialling = read.dialling(files, versions).map_err(|fault| vec![fault])?;
        let validities = read.validities(files);
        let warnings = read.warnings(&validities);
        let material = Material {
            admin,
            clients_judge,
            validities,
            outgoing: read.cluster.or_else(|| read.serving.clone()),
            serving: read.serving,
            allow_invalid_certificates: files.allow_invalid_certificates,
            server,
            dialling,
            clients: Mutex::default(),
        };
        Ok((material, warnings))
    }

    /// Whether clients can be served with TLS: there is a certificate.
    #[must_use]
    pub fn can_accept(&self) -> bool {
        self.server.is_some()
    }

    /// Whether servers can be dialled with TLS: there is something to verify them with, or no need to.
    #[must_use]
    pub fn can_dial(&self) -> bool {
        self.dialling.is_some()
    }

    /// The configuration of the admin port: clients must show a certificate that verifies, whatever the mode and the
    /// switches are. None without a certificate of ours and a CA.
    #[must_use]
    pub fn admin_config(&self) -> Option<Arc<ServerConfig>> {
        self.admin.clone()
    }

    /// What the files hold and when it is valid: certificates of ours first, then their chains, CAs, revocation lists.
    #[must_use]
    pub fn validities(&self) -> &[Validity] {
        &self.validities
    }

    /// Whether a client that has shown this chain would be let in today. One that was asked for none always is.
    ///
    /// # Errors
    /// Why not.
    pub fn verify_client(&self, chain: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let (Some(judge), Some((leaf, intermediates))) = (&self.clients_judge, chain.split_first()) else {
            return Ok(());
        };
        judge.verify_client_cert(leaf, intermediates, UnixTime::now()).map(drop)
    }

    /// The configuration that clients are served with.
    #[must_use]
    pub fn server_config(&self) -> Option<Arc<ServerConfig>> {
        self.server.clone()
    }

    /// The configuration that servers of these names are dialled with.
    #[must_use]
    pub fn client_config(&self, names: &[ServerName<'static>]) -> Option<Arc<ClientConfig>> {
        let dialling = self.dialling.as_ref()?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = clients.get(names) {
            return Some(Arc::clone(config));
        }
        let config = Arc::new(self.new_client_config(dialling, names)?);
        // Redirected connections go anywhere: what they leave behind is bounded. Sessions are lost, no more.
        if clients.len() >= CLIENT_CONFIGS {
            clients.clear();
        }
        clients.insert(names.to_vec(), Arc::clone(&config));
        Some(config)
    }

    fn new_client_config(&self, dialling: &Dialling, names: &[ServerName<'static>]) -> Option<ClientConfig> {
        let verifier = ServerVerifier {
            inner: dialling.verifier.clone(),
            algorithms: provider().signature_verification_algorithms,
            names: names.to_vec(),
            allow_invalid_certificates: self.allow_invalid_certificates,
            allow_invalid_hostnames: dialling.allow_invalid_hostnames,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&dialling.versions)
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.outgoing {
            Some(identity) => builder.with_client_cert_resolver(identity.client_resolver()),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(CLIENT_SESSIONS);
        Some(config)
    }
}

impl Read {
    fn all(files: &TlsFiles) -> Result<Read, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut note = |fault: Fault| faults.push(fault);
        let identity = |role, path: &Option<_>, password: &Option<Password>| {
            let read = |path: &Path| {
                let password = password.as_ref().map(Password::read).transpose();
                let password =
                    password.map_err(|problem| Fault::new(role, path, problem, "correct the password file"))?;
                Identity::read(role, path, password.as_ref())
            };
            path.as_deref().map(read).transpose()
        };
        let serving = identity(FileRole::CertificateKey, &files.certificate_key, &files.certificate_key_password);
        let cluster = identity(FileRole::Cluster, &files.cluster, &files.cluster_password);
        let ca = files.ca.as_deref().map(|path| roots(FileRole::Ca, path)).transpose();
        let cluster_ca = files.cluster_ca.as_deref().map(|path| roots(FileRole::ClusterCa, path)).transpose();
        let crls = files.crl.as_deref().map(revocations).transpose();
        let (ca, cluster_ca) = (ca.map_err(&mut note).ok().flatten(), cluster_ca.map_err(&mut note).ok().flatten());
        let (ca, cluster_ca) = (ca.unzip(), cluster_ca.unzip());
        let read = Read {
            serving: serving.map_err(&mut note).ok().flatten(),
            cluster: cluster.map_err(&mut note).ok().flatten(),
            ca: ca.0,
            cluster_ca: cluster_ca.0,
            authorities: [ca.1, cluster_ca.1].into_iter().flatten().flatten().collect(),
            crls: crls.map_err(&mut note).ok().flatten().unwrap_or_default(),
        };
        if faults.is_empty() { Ok(read) } else { Err(faults) }
    }

    fn warnings(&self, validities: &[Validity]) -> Vec<String> {
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        let mut warnings = lines(&findings(validities, now));
        if self.serving.as_ref().is_some_and(|identity| !identity.server_auth) {
            warnings.push(format!(
                "{}: its extended key usage lacks serverAuth; clients will refuse it",
                FileRole::CertificateKey
            ));
        }
        if self.cluster.as_ref().is_some_and(|identity| !identity.client_auth) {
            warnings.push(format!(
                "{}: its extended key usage lacks clientAuth; servers will refuse it",
                FileRole::Cluster
            ));
        }
        warnings
    }

    fn server(
        &self,
        files: &TlsFiles,
        versions: &[&'static SupportedProtocolVersion],
        judge: Option<Arc<ClientVerifier>>,
    ) -> Result<Option<Arc<ServerConfig>>, Fault> {
        let Some(identity) = &self.serving else { return Ok(None) };
        let fault = |problem: String| server_fault(files, problem);
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| fault(error.to_string()))?;
        let builder = match judge {
            None => builder.with_no_client_auth(),
            Some(judge) => builder.with_client_cert_verifier(judge),
        };
        let mut config = builder.with_cert_resolver(identity.server_resolver());
        config.ignore_client_order = true;
        // A client that comes back takes the newest ticket and is given the next one: a second would never be used.
        config.send_tls13_tickets = 1;
        config.session_storage = ServerSessionMemoryCache::new(SERVER_SESSIONS);
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|error| fault(error.to_string()))?;
        Ok(Some(Arc::new(config)))
    }

    /// What judges clients; strictly, where the switches that excuse them do not count.
    fn clients_judge(&self, files: &TlsFiles, strictly: bool) -> Result<Option<Arc<ClientVerifier>>, Fault> {
        let Some(roots) = self.cluster_ca.as_ref().or(self.ca.as_ref()) else { return Ok(None) };
        let verifier = self.client_verifier(roots, files, strictly);
        let fault = |error: VerifierBuilderError| {
            crl_fault(&error, files).unwrap_or_else(|| server_fault(files, error.to_string()))
        };
        verifier.map(Arc::new).map(Some).map_err(fault)
    }

    fn admin(
        &self,
        files: &TlsFiles,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Option<Arc<ServerConfig>>, Fault> {
        let Some(judge) = self.clients_judge(files, true)? else { return Ok(None) };
        let Some(config) = self.server(files, versions, Some(judge))? else { return Ok(None) };
        let mut config = ServerConfig::clone(&config);
        // Offered, not required: MongoDB's clients name no protocol.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(Arc::new(config)))
    }

    fn validities(&self, files: &TlsFiles) -> Vec<Validity> {
        let serving = (FileRole::CertificateKey, &files.certificate_key, &self.serving);
        let cluster = (FileRole::Cluster, &files.cluster, &self.cluster);
        let ours = [serving, cluster].into_iter();
        let ours = ours.filter_map(|(role, path, identity)| Some((role, path.as_deref()?, identity.as_ref()?)));
        let ours = ours.flat_map(|(role, path, identity)| {
            let kinds = std::iter::once(Kind::Certificate).chain(std::iter::repeat(Kind::Chain));
            let certificates = identity.key.cert.iter().zip(kinds);
            certificates.filter_map(move |(der, kind)| Validity::of_certificate(role, path, kind, der))
        });
        let mut all: Vec<_> = ours.collect();
        // Ours before their chains.
        all.sort_by_key(|one| one.kind);
        all.extend(self.authorities.iter().cloned());
        let lists = files.crl.iter().flat_map(|path| self.crls.iter().map(move |der| (path, der)));
        all.extend(lists.filter_map(|(path, der)| Validity::of_list(path, der)));
        all
    }

    /// CRLs as mongod's `X509_V_FLAG_CRL_CHECK`: the end entity only; a missing or expired CRL refuses.
    fn client_verifier(
        &self,
        roots: &Arc<RootCertStore>,
        files: &TlsFiles,
        strictly: bool,
    ) -> Result<ClientVerifier, VerifierBuilderError> {
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider())
            .with_crls(self.crls.iter().cloned())
            .only_check_end_entity_revocation()
            .enforce_revocation_expiration();
        if files.allow_connections_without_certificates && !strictly {
            builder = builder.allow_unauthenticated();
        }
        let allow_invalid_certificates = files.allow_invalid_certificates && !strictly;
        Ok(ClientVerifier { inner: builder.build()?, allow_invalid_certificates })
    }

    fn dialling(
        &self,
        files: &TlsFiles,
        versions: Vec<&'static SupportedProtocolVersion>,
    ) -> Result<Option<Dialling>, Fault> {
        let verifier = match &self.ca {
            None if files.allow_invalid_certificates => None,
            None => return Ok(None),
            Some(roots) => {
                let builder = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider())
                    .with_crls(self.crls.iter().cloned())
                    .only_check_end_entity_revocation()
                    .enforce_revocation_expiration();
                let path = files.ca.as_deref().unwrap_or(Path::new(""));
                Some(builder.build().map_err(|error| {
                    let remedy = "check the CA file";
                    crl_fault(&error, files)
                        .unwrap_or_else(|| Fault::new(FileRole::Ca, path, error.to_string(), remedy))
                })?)
            }
        };
        Ok(Some(Dialling { verifier, allow_invalid_hostnames: files.allow_invalid_hostnames, versions }))
    }
}

/// A fault of the side that serves clients.
fn server_fault(files: &TlsFiles, problem: String) -> Fault {
    let (role, path) = match &files.cluster_ca {
        Some(path) => (FileRole::ClusterCa, Some(path.as_path())),
        None => (FileRole::Ca, files.ca.as_deref()),
    };
    let path = path.or(files.certificate_key.as_deref()).unwrap_or(Path::new(""));
    Fault::new(role, path, problem, "check the CA and CRL files and the disabled protocols")
}

/// A list that a verifier does not take is the CRL file's fault, and not the CA file's.
fn crl_fault(error: &VerifierBuilderError, files: &TlsFiles) -> Option<Fault> {
    let (VerifierBuilderError::InvalidCrl(error), Some(path)) = (error, &files.crl) else { return None };
    let problem = format!("its revocation list cannot be parsed, or not be used here ({error:?})");
    Some(Fault::new(FileRole::Crl, path, problem, CRL_REMEDY))
}

fn roots(role: FileRole, path: &Path) -> Result<(Arc<RootCertStore>, Vec<Validity>), Fault> {
    let pem = pem::read(role, path, None)?;
    let validities = pem.certificates.iter();
    let validities =
        validities.filter_map(|found| Validity::of_certificate(role, path, Kind::Authority, &found.der)).collect();
    let mut roots = RootCertStore::empty();
    for Found { line, der } in pem.certificates {
        roots.add(der).map_err(|error| {
            let problem = format!("line {line}: the certificate is of no use as a CA here ({error})");
            Fault::new(role, path, problem, "take it out, or issue it anew as X.509 v3")
        })?;
    }
    if roots.is_empty() {
        let problem = "no usable CA certificate in it";
        return Err(Fault::new(role, path, problem, "put the CA's certificate (X.509 v3) into it as PEM"));
    }
    Ok((Arc::new(roots), validities))
}

fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Fault> {
    let crls = pem::read(FileRole::Crl, path, None)?.crls;
    if crls.is_empty() {
        let problem = "no certificate revocation list (BEGIN X509 CRL) in it";
        return Err(Fault::new(FileRole::Crl, path, problem, CRL_REMEDY));
    }
    Ok(crls.into_iter().map(|found| found.der).collect())
}

fn versions(disabled: DisabledProtocols) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(&version::TLS12, disabled.tls1_2), (&version::TLS13, disabled.tls1_3)];
    all.into_iter().filter(|(_, off)| !off).map(|(version, _)| version).collect()
}

const CRL_REMEDY: &str = "make one with: openssl ca -gencrl -out crl.pem";
