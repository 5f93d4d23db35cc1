//! Why a connection did not get as far as a relay, and what outcome that is.

use std::time::Duration;

use super::handed_over::NotIntercepted;
use super::route::RedirectError;
use crate::limits::JUDGED_MOST;
use crate::net::DialError;
use crate::policy::Refused;
use crate::sniff::SniffError;
use crate::telemetry::Outcome;
use crate::tls::{HandshakeError, PeerFault};
use crate::upstream::LinkError;

/// The end of a connection before its relay.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Sniff(#[from] SniffError),
    #[error("{}", refused(*.0))]
    Refused(Refused),
    #[error("{0}")]
    NotIntercepted(NotIntercepted),
    #[error("{0}")]
    ClientTls(HandshakeError),
    #[error("{0}")]
    RedirectError(RedirectError),
    #[error("{0}")]
    Dial(DialError),
    #[error("{0}")]
    UpstreamTls(HandshakeError),
    /// A mode that the TLS files at hand cannot serve; start, check and the controller all refuse to get there.
    #[error("no TLS material for what the mode demands")]
    NoMaterial,
    #[error("the policy changed {JUDGED_MOST} times before the first byte could be relayed")]
    Unsettled,
    #[error("a stop began before its opening was complete")]
    Draining,
    #[error("a stop was forced")]
    Forced,
    /// Its slot was needed.
    #[error("silent for {} s, and all connection slots were taken", .0.as_secs())]
    MadeRoom(Duration),
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Failure {
        match error {
            LinkError::Tls(error) => Failure::UpstreamTls(error),
            LinkError::NoMaterial => Failure::NoMaterial,
        }
    }
}

impl Failure {
    /// What is wrong with the upstream, as far as something can be done about it on this side.
    pub(super) fn fault(&self) -> PeerFault {
        match self {
            Failure::UpstreamTls(error) => error.fault(),
            Failure::Sniff(_)
            | Failure::Refused(_)
            | Failure::NotIntercepted(_)
            | Failure::ClientTls(_)
            | Failure::RedirectError(_)
            | Failure::Dial(_)
            | Failure::NoMaterial
            | Failure::Unsettled
            | Failure::Draining
            | Failure::Forced
            | Failure::MadeRoom(_) => PeerFault::Other,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Failure::Sniff(SniffError::Silent) => Outcome::Probe,
            Failure::Sniff(SniffError::TimedOut(_)) => Outcome::SniffTimeout,
            Failure::Sniff(SniffError::Truncated(_) | SniffError::Socket(_)) => Outcome::SniffTruncated,
            Failure::Refused(Refused::Plaintext) => Outcome::RefusedPlaintext,
            Failure::Refused(Refused::Tls) => Outcome::RefusedTls,
            Failure::Refused(Refused::TlsTooOld) => Outcome::TlsTooOld,
            Failure::NotIntercepted(_) => Outcome::NotIntercepted,
            Failure::ClientTls(error) => client_tls(error),
            Failure::RedirectError(_) => Outcome::Loop,
            Failure::Dial(_) => Outcome::UpstreamUnreachable,
            Failure::UpstreamTls(_) => Outcome::UpstreamTlsFailed,
            Failure::NoMaterial => Outcome::Internal,
            Failure::Unsettled => Outcome::PolicyUnsettled,
            Failure::Draining => Outcome::Drained,
            Failure::Forced => Outcome::Forced,
            Failure::MadeRoom(_) => Outcome::MadeRoom,
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
        Refused::Plaintext => "plaintext, and the mode requires TLS",
        Refused::Tls => "TLS, and the mode has it disabled",
        Refused::TlsTooOld => "the client knows no TLS version from 1.2 up",
    }
}
