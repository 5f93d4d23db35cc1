//! The certificate resolver of server configurations.
//!
//! rustls' unbuffered API passes the server name (SNI) of a ClientHello to the resolver only. The resolver stores it in
//! a thread local, which is read right after that step of the handshake.

use std::cell::Cell;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{CipherSuite, SignatureAlgorithm, SignatureScheme};

use crate::tls::provider::provider;

/// Always returns the same certificate, and stores the server name.
#[derive(Debug)]
pub(crate) struct CertificateResolver {
    certificate: SingleCertAndKey,
    key: Arc<CertifiedKey>,
    /// The certificate with a key that supports no signature scheme.
    unusable: Arc<CertifiedKey>,
    suites: Vec<CipherSuite>,
}

impl CertificateResolver {
    pub(crate) fn new(key: &Arc<CertifiedKey>) -> CertificateResolver {
        let unusable = CertifiedKey::new(key.cert.clone(), Arc::new(NoScheme));
        let certificate = SingleCertAndKey::from(CertifiedKey::clone(key));
        let suites = provider().cipher_suites.iter().map(|suite| suite.suite()).collect();
        CertificateResolver { certificate, key: Arc::clone(key), unusable: Arc::new(unusable), suites }
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        SERVER_NAME.set(hello.server_name().map(str::to_owned));
        // For TLS 1.2, rustls compares only the key type, and fails without an alert if the client supports none of the
        // key's schemes (for example, P-256 with SHA-384 only). With a key that has no scheme, it sends an alert.
        let common_suite = self.suites.iter().any(|suite| hello.cipher_suites().contains(suite));
        if common_suite && self.key.key.choose_scheme(hello.signature_schemes()).is_none() {
            NO_COMMON_SCHEME.set(true);
            return Some(Arc::clone(&self.unusable));
        }
        self.certificate.resolve(hello)
    }
}

/// A key that has no signature scheme.
#[derive(Debug)]
struct NoScheme;

impl SigningKey for NoScheme {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        None
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Anonymous
    }
}

/// Returns and clears the server name of the last ClientHello that was processed on this thread.
pub(crate) fn take_server_name() -> Option<String> {
    SERVER_NAME.take()
}

/// Returns and clears whether the last ClientHello on this thread was refused because our key supports none of its
/// signature schemes.
pub(crate) fn take_no_common_scheme() -> bool {
    NO_COMMON_SCHEME.take()
}

thread_local! {
    static SERVER_NAME: Cell<Option<String>> = const { Cell::new(None) };
    static NO_COMMON_SCHEME: Cell<bool> = const { Cell::new(false) };
}
