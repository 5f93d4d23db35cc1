//! Errors of requests to an admin port, with remedies.

use std::io;
use std::time::Duration;

use crate::admin::replies::ErrorReply;
use crate::tls::HandshakeError;

/// Why a request failed or was refused.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection was refused, or the Unix socket does not exist.
    #[error(
        "nothing listens on {address}: is tlsramp running there? Its log names its admin port (listening, route=admin); \
         give that address (ctl: --admin, rollout: --node)"
    )]
    NobodyListens {
        /// The address of the admin port.
        address: String,
    },
    /// The Unix socket belongs to another user.
    #[error(
        "{address}: permission denied: only the user of the socket and root may connect; try sudo -u USER tlsramp ctl \
         ..."
    )]
    NotOurs {
        /// The address of the admin port.
        address: String,
    },
    /// The connection failed for another reason.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// The address of the admin port.
        address: String,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The TLS handshake failed.
    #[error("TLS handshake with {address} failed: {error}{}", hint(.error))]
    Handshake {
        /// The address of the admin port.
        address: String,
        /// The reason.
        error: HandshakeError,
    },
    /// The time limit has passed.
    #[error("{address}: no {what} within {} s{}", .limit.as_secs(), unsure(what))]
    TimedOut {
        /// The address of the admin port.
        address: String,
        /// The event that did not occur: `connection` or `answer`.
        what: &'static str,
        /// The time limit.
        limit: Duration,
    },
    /// The connection ended before the answer was complete.
    #[error(
        "{address}: the connection failed before the answer was complete ({error}); the request may have taken effect: \
         check with tlsramp ctl status"
    )]
    Broken {
        /// The address of the admin port.
        address: String,
        /// The error in words.
        error: String,
    },
    /// The answer exceeds the size limit.
    #[error("{address}: the answer exceeds the limit of {most} bytes")]
    TooLarge {
        /// The address of the admin port.
        address: String,
        /// The size limit, in bytes.
        most: usize,
    },
    /// The peer is not the admin port of a tlsramp.
    #[error(
        "{address} does not answer as an admin port of tlsramp: {found}. The admin port is usually the data port plus \
         1000{}; the log names it (listening, route=admin)",
        plus_1000(.address)
    )]
    NotTlsramp {
        /// The address of the admin port.
        address: String,
        /// The answer that was received instead.
        found: String,
    },
    /// The admin port refused the request.
    #[error("{}", .reply.error)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The error reply.
        reply: Box<ErrorReply>,
        /// The reply's JSON as received.
        json: String,
    },
}

impl ClientError {
    /// The reply of an admin port that refused the request.
    pub fn reply(&self) -> Option<&ErrorReply> {
        if let ClientError::Refused { reply, .. } = self { Some(reply) } else { None }
    }

    /// The error code: the one in the admin port's reply, if there is a reply.
    pub fn code(&self) -> &str {
        match self {
            ClientError::NobodyListens { .. } => "NobodyListens",
            ClientError::NotOurs { .. } => "PermissionDenied",
            ClientError::Connect { .. } => "NoConnection",
            ClientError::Handshake { .. } => "NoTls",
            ClientError::TimedOut { .. } => "TimedOut",
            ClientError::Broken { .. } => "ConnectionBroken",
            ClientError::TooLarge { .. } => "AnswerTooLarge",
            ClientError::NotTlsramp { .. } => "NotTlsramp",
            ClientError::Refused { reply, .. } => &reply.code,
        }
    }
}

/// The usual cause of a handshake error.
fn hint(error: &HandshakeError) -> &'static str {
    #[expect(clippy::wildcard_enum_match_arm, reason = "other errors have no hint")]
    match error {
        HandshakeError::Tls(rustls::Error::InvalidCertificate(_)) => {
            "; --tlsCAFile must contain the CA that signed its certificate, and the address must be a name in that \
             certificate"
        }
        HandshakeError::Tls(rustls::Error::AlertReceived(_)) => {
            "; --tlsCertificateKeyFile must be a client certificate signed by a CA that tlsramp trusts \
             (tlsClusterCAFile or tlsCAFile)"
        }
        HandshakeError::Tls(rustls::Error::InvalidMessage(_)) => "; if the admin port does not use TLS, omit --tls",
        HandshakeError::Closed => {
            "; the admin port does not accept TLS: it has no certificate, or another program listens there"
        }
        _ => "",
    }
}

/// The default admin port of a data port.
fn plus_1000(address: &str) -> String {
    let port =
        address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?.checked_add(1000)?)));
    port.map(|(host, port)| format!(", here {host}:{port}")).unwrap_or_default()
}

fn unsure(what: &str) -> &'static str {
    if what == ANSWER { "; the request may have taken effect: check with tlsramp ctl status" } else { "" }
}

pub(super) const ANSWER: &str = "answer";
