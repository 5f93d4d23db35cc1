//! One of our certificates: its chain and its private key.

pub(crate) mod resolver;

use std::path::Path;
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use crate::tls::errors::certificate::key_problem;
use crate::tls::errors::file_error::{FileError, FileRole};
use crate::tls::files::Secret;
use crate::tls::pem::{self, Problem};
use crate::tls::x509::subject::{rfc4514, subject_alt_names};
use resolver::CertificateResolver;

/// One of our certificates.
#[derive(Debug, Clone)]
pub struct Identity {
    pub(crate) key: Arc<CertifiedKey>,
    /// Its subject in the form of RFC 4514.
    pub subject: String,
    /// Its serial number, in hexadecimal as OpenSSL writes it.
    pub serial: String,
    /// `notAfter` in seconds since 1970.
    pub not_after: i64,
    /// Whether its extended key usage allows its use by a client: there is none, or it contains `clientAuth`.
    /// `anyExtendedKeyUsage` alone is refused by OpenSSL, and so by mongod, and by tlsramp.
    pub client_auth: bool,
    /// The same for a server and `serverAuth`.
    pub server_auth: bool,
}

/// Whether an expired or not yet valid certificate of ours is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValidityCheck {
    /// Refuse it, as mongod does at start.
    Enforce,
    /// Accept it; [`Material::unusable`](crate::tls::Material::unusable) reports it.
    Skip,
}

impl Identity {
    /// Reads and checks a certificate key file.
    pub(crate) fn read(
        role: FileRole,
        path: &Path,
        password: Option<&Secret>,
        check: ValidityCheck,
    ) -> Result<Identity, FileError> {
        let fault = |problem: String, remedy: &str| FileError::new(role, path, problem, remedy);
        let pem = pem::read(role, path, password)?;
        let chain: Vec<_> = pem.certificates.into_iter().map(|found| found.der).collect();
        let Some(leaf) = chain.first() else {
            return Err(fault(
                "the file contains no certificate".into(),
                "put the certificate and its chain before the key",
            ));
        };
        let [key] = pem.keys.as_slice() else {
            let problem = format!("the file contains {} private keys, expected one", pem.keys.len());
            return Err(fault(problem, "put the certificate's private key into the same file, as mongod requires"));
        };
        let facts = Facts::read(leaf, check).map_err(|(problem, remedy)| fault(problem, remedy))?;
        if role == FileRole::CertificateKey && !facts.has_names {
            return Err(fault(
                "the certificate has no subject alternative name, and current clients ignore the CN".into(),
                "reissue it with the host names that clients use as subjectAltName",
            ));
        }
        let key = certified(chain, key).map_err(|(problem, remedy)| fault(problem, remedy))?;
        let Facts { subject, serial, not_after, client_auth, server_auth, .. } = facts;
        Ok(Identity { key: Arc::new(key), subject, serial, not_after, client_auth, server_auth })
    }
}

fn certified(
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    key: &PrivateKeyDer<'static>,
) -> Result<CertifiedKey, Problem> {
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(key).map_err(|error| {
        let named = chain.first().and_then(|leaf| key_problem(leaf));
        let why = named.map_or_else(|| error.to_string(), str::to_owned);
        (format!("the private key cannot be used ({why})"), "use an RSA key of 2048 bits or more, ECDSA or Ed25519")
    })?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err((
            "the private key does not match the certificate".into(),
            "put the key for which the certificate was issued into the file, with the leaf certificate first",
        )),
        Err(error) => Err((format!("the certificate cannot be used ({error})"), "reissue it as X.509 v3")),
    }
}

/// Fields of the leaf certificate.
struct Facts {
    subject: String,
    serial: String,
    not_after: i64,
    has_names: bool,
    client_auth: bool,
    server_auth: bool,
}

impl Facts {
    fn read(leaf: &[u8], check: ValidityCheck) -> Result<Facts, Problem> {
        let unreadable = || ("the certificate cannot be parsed".to_owned(), "reissue it as X.509 v3");
        let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| unreadable())?;
        let validity = certificate.validity();
        if check == ValidityCheck::Enforce && !validity.is_valid() {
            let (from, to) = (validity.not_before, validity.not_after);
            return Err(if from > ASN1Time::now() {
                let problem = format!("the certificate is not yet valid (notBefore {from}, notAfter {to})");
                (problem, "check this host's clock, or issue the certificate with an earlier start")
            } else {
                let problem = format!("the certificate has expired (notBefore {from}, notAfter {to})");
                (problem, "renew it; mongod does not start with an expired certificate either")
            });
        }
        let usage = certificate.extended_key_usage().map_err(|_| unreadable())?.map(|usage| usage.value);
        Ok(Facts {
            subject: rfc4514(certificate.subject()),
            serial: certificate.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect(),
            not_after: validity.not_after.timestamp(),
            has_names: certificate.subject_alternative_name().map_err(|_| unreadable())?.is_some(),
            client_auth: usage.is_none_or(|usage| usage.client_auth),
            server_auth: usage.is_none_or(|usage| usage.server_auth),
        })
    }
}

impl Identity {
    /// Whether the certificate is valid for this host (without a port): one of its subject alternative names must be
    /// that DNS name, with wildcards as in RFC 9525, or that IP address.
    pub fn is_for(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let bare = bare.strip_suffix('.').unwrap_or(bare);
        let (Some(leaf), Ok(name)) = (self.key.cert.first(), ServerName::try_from(bare)) else { return false };
        ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok())
    }

    /// Whether this is a CA certificate issued by another CA. webpki refuses such a certificate as a leaf.
    pub(crate) fn is_issued_ca(&self) -> bool {
        let leaf = self.key.cert.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
        leaf.is_some_and(|(_, leaf)| leaf.is_ca() && leaf.issuer() != leaf.subject())
    }

    /// The subject alternative names of the certificate, each prefixed with its kind: `DNS:db1.example.net`.
    pub fn names(&self) -> Vec<String> {
        self.key.cert.first().map(|leaf| subject_alt_names(leaf)).unwrap_or_default()
    }

    pub(crate) fn client_resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(CertifiedKey::clone(&self.key)))
    }

    pub(crate) fn server_resolver(&self) -> Arc<CertificateResolver> {
        Arc::new(CertificateResolver::new(&self.key))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use certs_gen::{Authority, Request};

    use super::{FileRole, Identity, ValidityCheck};

    #[test]
    fn is_for_its_alternative_names_and_no_others() {
        let names = ["db1.example.net", "*.ops.example.net", "10.0.0.1", "fd00::1"];
        let issued = Authority::new("CA").unwrap().issue(&Request::server("common").names(names)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.pem");
        std::fs::write(&path, issued.pem()).unwrap();
        let identity = Identity::read(FileRole::CertificateKey, &path, None, ValidityCheck::Enforce).unwrap();
        for (host, expected) in [
            ("db1.example.net", true),
            ("DB1.Example.NET.", true),
            ("a.ops.example.net", true),
            ("10.0.0.1", true),
            ("[fd00::1]", true),
            ("fd00:0::1", true),
            ("common", false),
            ("ops.example.net", false),
            ("a.b.ops.example.net", false),
            ("*.ops.example.net", false),
            ("db1.example.net.evil.example", false),
            ("10.0.0.2", false),
            ("::ffff:10.0.0.1", false),
            ("db1.example.net:28017", false),
            ("", false),
        ] {
            assert_eq!(identity.is_for(host), expected, "{host}");
        }
        assert_eq!(identity.names()[..2], ["DNS:db1.example.net", "DNS:*.ops.example.net"]);
    }

    #[test]
    fn keys_that_cannot_be_used_have_their_reason() {
        let folder = tempfile::tempdir().unwrap();
        for (algorithm, bits, reason) in [("rsa-pss", "2048", "RSA-PSS"), ("rsa", "1024", "shorter than 2048 bits")] {
            let bits = format!("rsa_keygen_bits:{bits}");
            let mut command = Command::new("openssl");
            command.current_dir(&folder).args(["req", "-x509", "-newkey", algorithm, "-pkeyopt", &bits, "-nodes"]);
            command.args(["-subj", "/CN=a", "-addext", "subjectAltName=DNS:a", "-keyout", "key"]);
            let mut file = command.output().unwrap().stdout;
            file.extend(std::fs::read(folder.path().join("key")).unwrap());
            let path = folder.path().join("file");
            std::fs::write(&path, file).unwrap();
            let fault = Identity::read(FileRole::CertificateKey, &path, None, ValidityCheck::Enforce).unwrap_err();
            assert!(fault.problem.contains(reason), "{fault}");
        }
    }
}
