//! TLS, both ways: PEM files to an identity, identity and trust to configurations, handshakes, and the reason in
//! words when one fails.
//!
//! [`Material`] is all of it for one set of files, built whole or not at all. Ticket keys and session caches are
//! part of it, so that no ticket outlives the certificates, roots and revocations under which it was given.

mod asked;
mod blocks;
mod ca;
mod canonical;
mod constraints;
mod crl;
mod fault;
mod files;
mod gaps;
mod handshake;
mod identity;
mod intake;
mod material;
mod pem;
mod reason;
mod resumption;
mod session;
mod stream;
mod subject;
mod trust;
mod validity;
mod verify;

pub use fault::{Fault, FileRole};
pub use files::{DisabledProtocols, Password, Secret, TlsFiles};
pub use gaps::{gaps, lists_lost};
pub use handshake::{
    Accepted, ClientStream, HandshakeError, ServerStream, accept, accept_counted, connect, connect_counted, suite_name,
    verify_again, version_name,
};
pub use identity::Identity;
pub use intake::handshake_bytes;
pub use material::Material;
pub use reason::PeerFault;
pub use subject::{names, subject};
pub use validity::{Finding, Unusable, Validity, counting, findings, lines};

/// The provider, passed explicitly everywhere: no process-wide default is relied upon.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // The server's choice among what a client offers: AES-128 first, whose SHA-256 has instructions of its own on the
    // processors of today, where SHA-384 has not; a fifth of a handshake. NIST SP 800-52 prefers neither.
    provider.cipher_suites.sort_by_key(|suite| !is_aes_128(suite.suite()));
    std::sync::Arc::new(provider)
}

fn is_aes_128(suite: rustls::CipherSuite) -> bool {
    use rustls::CipherSuite as Suite;
    let first = [
        Suite::TLS13_AES_128_GCM_SHA256,
        Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ];
    first.contains(&suite)
}
