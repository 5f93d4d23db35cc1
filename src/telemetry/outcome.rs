//! The outcomes of connections, and which side caused each.

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// Relayed until both sides had ended.
    Completed,
    /// Relayed until the client's connection failed.
    ClientReset,
    /// Relayed until the upstream's connection failed.
    UpstreamReset,
    /// One side ended, and the other sent nothing for a minute.
    HalfClosedIdle,
    /// One side took no bytes for 150 s while some waited for it.
    Stalled,
    /// Recycled at a message boundary, because it no longer conformed to the policy.
    Recycled,
    /// Recycled within a message, because the grace period was over.
    RecycledByForce,
    /// The client closed it without sending a byte.
    Probe,
    /// Closed at once: the connection limit was reached, and the accept queue was full.
    TooManyConnections,
    /// Closed at once: the limit of connections from its address was reached.
    TooManyFromAddress,
    /// The client left while it waited for a slot.
    LeftWaiting,
    /// Closed because it was silent, to give its slot to a connection that waited.
    MadeRoom,
    /// The client did not send a decidable opening in time.
    SniffTimeout,
    /// Closed or failed within the opening.
    SniffTruncated,
    /// Plaintext, in a mode that requires TLS.
    RefusedPlaintext,
    /// TLS, in a mode that disables it.
    RefusedTls,
    /// No TLS version in common: too old, or disabled.
    TlsTooOld,
    /// Another host connected to the listener of a transparent route directly, not by way of the interception rules.
    NotIntercepted,
    /// The client certificate is missing or was refused.
    ClientCertificateRefused,
    /// The handshake with the client failed.
    TlsHandshakeFailed,
    /// The handshake with the client took too long.
    TlsHandshakeTimeout,
    /// All handshakes with clients held too much memory, and this one the most.
    HandshakeMemory,
    /// It would have connected to tlsramp itself.
    Loop,
    /// The upstream could not be connected to.
    UpstreamUnreachable,
    /// The certificate of the upstream did not verify, or it speaks no TLS.
    UpstreamTlsFailed,
    /// The policy changed again and again before its first byte could be relayed.
    PolicyUnsettled,
    /// Its opening was not complete when the proxy began to stop.
    Drained,
    /// It was open when the stop was forced.
    Forced,
    /// It ended without an outcome: an internal error.
    Internal,
}

/// The side that caused an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeSource {
    /// No side: a normal end.
    None,
    /// The client.
    Client,
    /// The policy: a refusal.
    Policy,
    /// The upstream.
    Upstream,
    /// The operator: a stop or a recycle.
    Operator,
    /// tlsramp.
    Internal,
}

impl Outcome {
    /// Every outcome, at the index of its number.
    pub const ALL: [Outcome; 29] = [
        Outcome::Completed,
        Outcome::ClientReset,
        Outcome::UpstreamReset,
        Outcome::HalfClosedIdle,
        Outcome::Stalled,
        Outcome::Recycled,
        Outcome::RecycledByForce,
        Outcome::Probe,
        Outcome::TooManyConnections,
        Outcome::TooManyFromAddress,
        Outcome::LeftWaiting,
        Outcome::MadeRoom,
        Outcome::SniffTimeout,
        Outcome::SniffTruncated,
        Outcome::RefusedPlaintext,
        Outcome::RefusedTls,
        Outcome::TlsTooOld,
        Outcome::NotIntercepted,
        Outcome::ClientCertificateRefused,
        Outcome::TlsHandshakeFailed,
        Outcome::TlsHandshakeTimeout,
        Outcome::HandshakeMemory,
        Outcome::Loop,
        Outcome::UpstreamUnreachable,
        Outcome::UpstreamTlsFailed,
        Outcome::PolicyUnsettled,
        Outcome::Drained,
        Outcome::Forced,
        Outcome::Internal,
    ];

    /// Its name in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::ClientReset => "client_reset",
            Outcome::UpstreamReset => "upstream_reset",
            Outcome::HalfClosedIdle => "half_closed_idle",
            Outcome::Stalled => "stalled",
            Outcome::Recycled => "recycled",
            Outcome::RecycledByForce => "recycled_by_force",
            Outcome::Probe => "probe",
            Outcome::TooManyConnections => "too_many_connections",
            Outcome::TooManyFromAddress => "too_many_from_address",
            Outcome::LeftWaiting => "left_waiting",
            Outcome::MadeRoom => "made_room",
            Outcome::SniffTimeout => "sniff_timeout",
            Outcome::SniffTruncated => "sniff_truncated",
            Outcome::RefusedPlaintext => "refused_plaintext",
            Outcome::RefusedTls => "refused_tls",
            Outcome::TlsTooOld => "tls_too_old",
            Outcome::NotIntercepted => "not_intercepted",
            Outcome::ClientCertificateRefused => "client_certificate_refused",
            Outcome::TlsHandshakeFailed => "tls_handshake_failed",
            Outcome::TlsHandshakeTimeout => "tls_handshake_timeout",
            Outcome::HandshakeMemory => "handshake_memory",
            Outcome::Loop => "loop",
            Outcome::UpstreamUnreachable => "upstream_unreachable",
            Outcome::UpstreamTlsFailed => "upstream_tls_failed",
            Outcome::PolicyUnsettled => "policy_unsettled",
            Outcome::Drained => "drained",
            Outcome::Forced => "forced",
            Outcome::Internal => "internal",
        }
    }

    /// The side that caused it.
    #[must_use]
    pub const fn source(self) -> OutcomeSource {
        match self {
            Outcome::Completed | Outcome::Probe => OutcomeSource::None,
            Outcome::RefusedPlaintext
            | Outcome::RefusedTls
            | Outcome::NotIntercepted
            | Outcome::TooManyConnections
            | Outcome::TooManyFromAddress
            | Outcome::LeftWaiting
            | Outcome::MadeRoom => OutcomeSource::Policy,
            Outcome::ClientReset
            | Outcome::HalfClosedIdle
            | Outcome::SniffTimeout
            | Outcome::SniffTruncated
            | Outcome::TlsTooOld
            | Outcome::ClientCertificateRefused
            | Outcome::TlsHandshakeFailed
            | Outcome::TlsHandshakeTimeout
            | Outcome::HandshakeMemory
            | Outcome::Loop => OutcomeSource::Client,
            Outcome::UpstreamReset | Outcome::Stalled | Outcome::UpstreamUnreachable | Outcome::UpstreamTlsFailed => {
                OutcomeSource::Upstream
            }
            Outcome::Recycled
            | Outcome::RecycledByForce
            | Outcome::PolicyUnsettled
            | Outcome::Drained
            | Outcome::Forced => OutcomeSource::Operator,
            Outcome::Internal => OutcomeSource::Internal,
        }
    }

    /// Whether a peer can cause it at will, so that its log lines are bounded.
    #[must_use]
    pub const fn is_limited(self) -> bool {
        !matches!(self.source(), OutcomeSource::None | OutcomeSource::Operator | OutcomeSource::Internal)
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;
    use std::collections::HashSet;

    #[test]
    fn each_has_its_number_and_a_name_of_its_own() {
        for (number, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, number);
        }
        let names: HashSet<_> = Outcome::ALL.iter().map(|outcome| outcome.name()).collect();
        assert_eq!(names.len(), Outcome::ALL.len());
    }
}
