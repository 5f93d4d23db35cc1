//! The access log: one line per connection, written when the connection ends. Lines that peers can cause at will are
//! rate-limited.

use std::time::Instant;

use super::connection_info::ConnectionInfo;
use super::open_connections::OpenConnection;
use super::outcome::{Outcome, OutcomeSource};
use super::rate_limit::RateLimit;
use crate::policy::Opening;
use crate::text::printable;

/// The access log of a proxy, with a rate limit for each outcome.
#[derive(Debug, Default)]
pub(super) struct AccessLog([RateLimit; Outcome::ALL.len()]);

impl AccessLog {
    /// Logs a connection that has ended, with the number of bytes received from and sent to the client.
    pub(super) fn write(
        &self,
        info: &ConnectionInfo,
        open: Option<&OpenConnection>,
        outcome: Outcome,
        reason: Option<String>,
        bytes: (u64, u64),
    ) {
        if !outcome.is_limited() || self.0[outcome as usize].admits(Instant::now()) {
            write_line(info, open, outcome, reason, bytes);
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

fn write_line(
    info: &ConnectionInfo,
    open: Option<&OpenConnection>,
    outcome: Outcome,
    reason: Option<String>,
    bytes: (u64, u64),
) {
    let text = |text: &Option<String>| text.as_deref().map(printable);
    let (tls, upstream) = (info.tls.as_deref(), info.upstream.as_deref());
    let client = open.map_or(info.turned_away.as_deref(), OpenConnection::client);
    let duration_ms = u64::try_from(info.accepted.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (bytes_in, bytes_out) = bytes;
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                id = info.id,
                peer = %info.peer,
                destination = info.destination.as_deref().map(tracing::field::display),
                route = &*info.route.name,
                opening = info.opening.map(Opening::name),
                versions_offered = tls.and_then(|tls| tls.versions_offered.as_deref()),
                tls_version = info.tls_version(),
                cipher = tls.and_then(|tls| tls.cipher.as_deref()),
                sni = tls.and_then(|tls| text(&tls.sni)),
                client_subject = tls.and_then(|tls| text(&tls.subject)),
                application = client.and_then(|client| text(&client.application)),
                driver = client.and_then(|client| text(&client.driver)),
                driver_version = client.and_then(|client| text(&client.driver_version)),
                mode = info.mode.map(tracing::field::display),
                generation = info.mode.map(|_| info.generation),
                upstream = upstream.map(|upstream| &*upstream.name),
                upstream_local = upstream.and_then(|upstream| upstream.local).map(tracing::field::display),
                upstream_link = open.map(|open| open.link.name()),
                upstream_tls = upstream.and_then(|upstream| upstream.tls_version),
                bytes_in,
                bytes_out,
                duration_ms,
                outcome = outcome.name(),
                reason = text(&reason),
                "connection"
            )
        };
    }
    match outcome.source() {
        OutcomeSource::Internal => line!(error),
        OutcomeSource::None
        | OutcomeSource::Client
        | OutcomeSource::Policy
        | OutcomeSource::Upstream
        | OutcomeSource::Operator => {
            if outcome == Outcome::Probe {
                line!(debug)
            } else {
                line!(info)
            }
        }
    }
}
