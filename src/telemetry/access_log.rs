//! The access log: one line per connection, written when the connection ends. Lines that peers can cause at will are
//! rate-limited.

use std::time::Instant;

use super::ended_connection::EndedConnection;
use super::log;
use super::outcome::Outcome;
use super::rate_limit::RateLimit;

/// The access log of a proxy, with a rate limit for each outcome.
#[derive(Debug, Default)]
pub(super) struct AccessLog([RateLimit; Outcome::ALL.len()]);

impl AccessLog {
    /// Logs a connection that has ended.
    pub(super) fn write(&self, connection: EndedConnection) {
        let outcome = connection.outcome();
        if (!outcome.is_limited() || self.0[outcome as usize].admits(Instant::now())) && connection.is_logged() {
            log::queue(connection);
        }
    }

    /// Logs the number of lines of each outcome that were left out since the last call.
    pub(super) fn summarize(&self) {
        for (outcome, limit) in Outcome::ALL.into_iter().zip(&self.0) {
            let lines = limit.take_left_out();
            if lines > 0 {
                tracing::warn!(outcome = outcome.name(), connections = lines, "connection lines left out");
            }
        }
    }
}
