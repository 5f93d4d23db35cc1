//! What a client's hello says to whoever chooses the certificate. The stack tells it to nobody else where a session has no
//! buffers of its own; so it is noted here, and fetched as soon as the step of the handshake is over.

use std::cell::Cell;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{CipherSuite, SignatureAlgorithm, SignatureScheme};

use super::provider;

/// Shows the one certificate, and notes the name that was asked for.
#[derive(Debug)]
pub(super) struct Listening {
    certificate: SingleCertAndKey,
    key: Arc<CertifiedKey>,
    /// The same certificate with a key that cannot sign.
    unusable: Arc<CertifiedKey>,
    suites: Vec<CipherSuite>,
}

impl Listening {
    pub(super) fn new(key: &Arc<CertifiedKey>) -> Listening {
        let unusable = CertifiedKey::new(key.cert.clone(), Arc::new(NoScheme));
        let certificate = SingleCertAndKey::from(CertifiedKey::clone(key));
        let suites = provider().cipher_suites.iter().map(|suite| suite.suite()).collect();
        Listening { certificate, key: Arc::clone(key), unusable: Arc::new(unusable), suites }
    }
}

impl ResolvesServerCert for Listening {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        ASKED.set(hello.server_name().map(str::to_owned));
        // In TLS 1.2 the stack looks at the kind of the key only, and fails without an alert where the client takes none of
        // its schemes (P-256, say, and SHA-384 alone). With a key of no kind it sends one.
        let common_suite = self.suites.iter().any(|suite| hello.cipher_suites().contains(suite));
        if common_suite && self.key.key.choose_scheme(hello.signature_schemes()).is_none() {
            NO_SCHEME.set(true);
            return Some(Arc::clone(&self.unusable));
        }
        self.certificate.resolve(hello)
    }
}

/// A key that signs by no scheme.
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

/// The name heard by this thread since this was last asked.
pub(super) fn asked() -> Option<String> {
    ASKED.take()
}

/// Whether a client took no signature scheme of our key, since this was last asked.
pub(super) fn without_scheme() -> bool {
    NO_SCHEME.take()
}

thread_local! {
    static ASKED: Cell<Option<String>> = const { Cell::new(None) };
    static NO_SCHEME: Cell<bool> = const { Cell::new(false) };
}
