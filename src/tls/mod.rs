//! TLS, inbound and outbound: reads PEM files, builds rustls configurations, performs handshakes, and finds the reason
//! when one fails.
//!
//! [`Material`] holds the configurations of one set of files, which are built completely or not at all.

mod errors;
mod files;
mod handshake;
mod identity;
mod material;
mod names;
mod pem;
mod provider;
mod resumption;
mod revocation;
pub(crate) mod stream;
mod verifier;
mod x509;

pub use errors::file_error::{FileError, FileRole};
pub use errors::peer_fault::PeerFault;
pub use files::{DisabledProtocols, Password, Secret, TlsFiles};
pub use handshake::{
    AcceptedStream, ClientStream, HandshakeError, ServerStream, accept, accept_budgeted, connect, connect_budgeted,
    reverify_client,
};
pub use identity::Identity;
pub use material::{
    Material, TlsItem, TlsItemKind, UnusableReason, ValidityFinding, coverage_warnings, finding_lines, findings,
    in_force, lost_crls,
};
pub use names::{suite_name, version_name};
pub use stream::quota::handshake_bytes;
pub use x509::subject::{not_after, subject, subject_alt_names};
