//! The outcomes of connections, and the side that caused each.

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
    /// One side accepted no bytes for 150 s while there were bytes to send to it.
    Stalled,
    /// Recycled at a message boundary, because it no longer conformed to the policy.
    Recycled,
    /// Recycled without a message boundary, because the grace period was over.
    RecycledByForce,
    /// The client closed the connection without sending a byte.
    Probe,
    /// The connection limit was reached, and no more connections may wait for a slot; or the connection lost its place
    /// among those that wait.
    TooManyConnections,
    /// Closed at once, because the limit of connections from the client's address was reached.
    TooManyFromAddress,
    /// The client left while it waited for a slot.
    LeftWaiting,
    /// The client was silent, and its slot was given to a connection that waited.
    MadeRoom,
    /// The client's first bytes could not be classified in time.
    SniffTimeout,
    /// The client closed the connection, or it failed, before the opening was complete.
    SniffTruncated,
    /// Plaintext was refused by a mode that requires TLS.
    RefusedPlaintext,
    /// TLS was refused by a mode that disables it.
    RefusedTls,
    /// There was no TLS version in common: the client's are too old, or disabled.
    TlsTooOld,
    /// A connection from another host to the listener of a transparent route was not redirected by interception rules.
    NotIntercepted,
    /// The client certificate was missing, or it was refused.
    ClientCertificateRefused,
    /// The handshake with the client failed.
    TlsHandshakeFailed,
    /// The handshake with the client took too long.
    TlsHandshakeTimeout,
    /// The handshakes with clients together exceeded the memory budget, and this one held the most.
    HandshakeMemory,
    /// The upstream would have been tlsramp itself, or the kernel did not report the original destination.
    Loop,
    /// Connecting to the upstream failed.
    UpstreamUnreachable,
    /// The TLS handshake with the upstream failed. For example, its certificate did not verify, or it has no TLS.
    UpstreamTlsFailed,
    /// The policy changed again and again before the first byte could be relayed.
    PolicyUnsettled,
    /// Closed because the proxy stops: at a message boundary, or before the opening was complete.
    Drained,
    /// The connection was open when the stop was forced.
    Forced,
    /// An internal error: the record was dropped without an outcome, or the mode needs TLS files that are not loaded.
    Internal,
}

/// The side that caused an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeSource {
    /// No side: a normal end.
    None,
    /// The client.
    Client,
    /// The policy, by a refusal.
    Policy,
    /// The upstream.
    Upstream,
    /// The operator, by a stop or a recycle.
    Operator,
    /// tlsramp itself.
    Internal,
}

impl Outcome {
    /// Every outcome, indexed by its number.
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

    /// The outcome's name in logs.
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

    /// The side that caused the outcome.
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

    /// Whether the connection was refused, or failed before its first byte was relayed. A probe is neither.
    pub const fn is_refusal(self) -> bool {
        match self {
            Outcome::TooManyConnections
            | Outcome::TooManyFromAddress
            | Outcome::LeftWaiting
            | Outcome::MadeRoom
            | Outcome::SniffTimeout
            | Outcome::SniffTruncated
            | Outcome::RefusedPlaintext
            | Outcome::RefusedTls
            | Outcome::TlsTooOld
            | Outcome::NotIntercepted
            | Outcome::ClientCertificateRefused
            | Outcome::TlsHandshakeFailed
            | Outcome::TlsHandshakeTimeout
            | Outcome::HandshakeMemory
            | Outcome::Loop
            | Outcome::UpstreamUnreachable
            | Outcome::UpstreamTlsFailed
            | Outcome::PolicyUnsettled
            | Outcome::Internal => true,
            Outcome::Completed
            | Outcome::ClientReset
            | Outcome::UpstreamReset
            | Outcome::HalfClosedIdle
            | Outcome::Stalled
            | Outcome::Recycled
            | Outcome::RecycledByForce
            | Outcome::Probe
            | Outcome::Drained
            | Outcome::Forced => false,
        }
    }

    /// Whether a peer can cause this outcome at will, so that its log lines are rate-limited.
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
