//! The reasons why a connection ends before its relay, and the outcome of each.

use std::time::Duration;

use super::interception::NotIntercepted;
use super::route::RedirectError;
use crate::limits::ESTABLISH_ATTEMPTS;
use crate::net::DialError;
use crate::policy::Refused;
use crate::sniff::SniffError;
use crate::telemetry::Outcome;
use crate::tls::{HandshakeError, PeerFault};
use crate::upstream::LinkError;

/// Why a connection ended before its relay.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    #[error("{0}")]
    Sniff(#[from] SniffError),
    #[error("{}", refused(*.0))]
    Refused(Refused),
    #[error("{0}")]
    NotIntercepted(NotIntercepted),
    #[error("{0}")]
    ClientTls(HandshakeError),
    #[error("{0}")]
    Redirect(RedirectError),
    #[error("{0}")]
    Dial(DialError),
    #[error("{0}")]
    UpstreamTls(HandshakeError),
    /// The TLS files cannot serve the mode. Unexpected, since start, `check` and the controller refuse such a mode.
    #[error("internal error: no TLS configuration for a mode that requires one")]
    NoMaterial,
    #[error("the policy changed {ESTABLISH_ATTEMPTS} times before the first byte could be relayed")]
    Unsettled,
    #[error("tlsramp began to stop before the client's first bytes were complete")]
    Draining,
    #[error("tlsramp was stopped by force")]
    Forced,
    /// The client was silent, and its slot was needed for another connection.
    #[error("the client was silent for {} s, and all connection slots were taken", .0.as_secs())]
    MadeRoom(Duration),
}

impl From<LinkError> for ServeError {
    fn from(error: LinkError) -> ServeError {
        match error {
            LinkError::Tls(error) => ServeError::UpstreamTls(error),
            LinkError::NoMaterial => ServeError::NoMaterial,
        }
    }
}

impl ServeError {
    /// Returns the upstream's fault if tlsramp has a remedy for it, otherwise `PeerFault::Other`.
    pub(super) fn fault(&self) -> PeerFault {
        match self {
            ServeError::UpstreamTls(error) => error.fault(),
            ServeError::Sniff(_)
            | ServeError::Refused(_)
            | ServeError::NotIntercepted(_)
            | ServeError::ClientTls(_)
            | ServeError::Redirect(_)
            | ServeError::Dial(_)
            | ServeError::NoMaterial
            | ServeError::Unsettled
            | ServeError::Draining
            | ServeError::Forced
            | ServeError::MadeRoom(_) => PeerFault::Other,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            ServeError::Sniff(SniffError::Silent) => Outcome::Probe,
            ServeError::Sniff(SniffError::TimedOut(_)) => Outcome::SniffTimeout,
            ServeError::Sniff(SniffError::Truncated(_) | SniffError::Socket(_)) => Outcome::SniffTruncated,
            ServeError::Refused(Refused::Plaintext) => Outcome::RefusedPlaintext,
            ServeError::Refused(Refused::Tls) => Outcome::RefusedTls,
            ServeError::Refused(Refused::TlsTooOld) => Outcome::TlsTooOld,
            ServeError::NotIntercepted(_) => Outcome::NotIntercepted,
            ServeError::ClientTls(error) => client_tls(error),
            ServeError::Redirect(_) => Outcome::Loop,
            ServeError::Dial(_) => Outcome::UpstreamUnreachable,
            ServeError::UpstreamTls(_) => Outcome::UpstreamTlsFailed,
            ServeError::NoMaterial => Outcome::Internal,
            ServeError::Unsettled => Outcome::PolicyUnsettled,
            ServeError::Draining => Outcome::Drained,
            ServeError::Forced => Outcome::Forced,
            ServeError::MadeRoom(_) => Outcome::MadeRoom,
        }
    }
}

fn client_tls(error: &HandshakeError) -> Outcome {
    use rustls::{Error, PeerIncompatible};
    match error {
        HandshakeError::TimedOut(_) => Outcome::TlsHandshakeTimeout,
        HandshakeError::OverBudget(_) => Outcome::HandshakeMemory,
        HandshakeError::Tls(Error::NoCertificatesPresented | Error::InvalidCertificate(_)) => {
            Outcome::ClientCertificateRefused
        }
        HandshakeError::Tls(Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        )) => Outcome::TlsTooOld,
        HandshakeError::Tls(_) | HandshakeError::Closed | HandshakeError::Socket(_) | HandshakeError::TooLarge(_) => {
            Outcome::TlsHandshakeFailed
        }
    }
}

fn refused(refused: Refused) -> &'static str {
    match refused {
        Refused::Plaintext => "the client used plaintext, and the mode requires TLS",
        Refused::Tls => "the client used TLS, which is refused in mode disabled",
        Refused::TlsTooOld => "the client supports neither TLS 1.2 nor a later version",
    }
}
