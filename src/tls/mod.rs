//! TLS, both ways: PEM files to an identity, identity and trust to configurations, handshakes, and the reason in
//! words when one fails.
//!
//! [`Material`] is all of it for one set of files, built whole or not at all. Ticket keys and session caches are
//! part of it, so that no ticket outlives the certificates, roots and revocations under which it was given.

mod fault;
mod files;
mod handshake;
mod identity;
mod material;
mod pem;
mod reason;
mod subject;
mod verify;

pub use fault::{Fault, FileRole};
pub use files::{DisabledProtocols, Secret, TlsFiles};
pub use handshake::{HandshakeError, accept, connect, suite_name, version_name};
pub use identity::Identity;
pub use material::{CertificateInfo, Material};
pub use subject::{names, subject};

/// The provider, passed explicitly everywhere: no process-wide default is relied upon.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
