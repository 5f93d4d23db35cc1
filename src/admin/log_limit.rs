//! The bound on log lines that unauthenticated peers cause at the admin port.

use std::net::SocketAddr;
use std::time::Instant;

use crate::telemetry::RateLimit;
use crate::text::printable;

/// The bound, which all admin listeners share.
#[derive(Debug, Default)]
pub(super) struct LogLimit(RateLimit);

impl LogLimit {
    /// Logs a refused connection, with the subject of its certificate if it presented one.
    pub(super) fn refused(&self, peer: Option<SocketAddr>, subject: Option<&str>, reason: &str) {
        if !self.0.admits(Instant::now()) {
            return;
        }
        let (peer, subject) = (peer.map(tracing::field::display), subject.map(printable));
        let reason = printable(reason);
        // The number of lines that were left out before this one.
        let left_out = Some(self.0.take_left_out()).filter(|left_out| *left_out > 0);
        tracing::warn!(peer, subject, reason, left_out, "admin connection refused");
    }
}
