//! A connection that has ended, and its log line. Formatting the line takes longer than all other work on a record, so
//! the log's own thread does it, for several lines at a time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::connection_info::ConnectionInfo;
use super::open_connections::OpenConnection;
use super::outcome::{Outcome, OutcomeSource};
use crate::policy::Opening;
use crate::text::printable;

/// A connection that has ended.
#[derive(Debug)]
pub(super) struct EndedConnection {
    connection: LoggedConnection,
    outcome: Outcome,
    reason: Option<String>,
    ended: SystemTime,
    duration: Duration,
    /// Received from the client, and sent to the client.
    bytes: (u64, u64),
}

/// The record of a connection that has ended.
#[derive(Debug)]
pub(super) enum LoggedConnection {
    /// It was never established.
    Refused(Box<ConnectionInfo>),
    Established(Arc<OpenConnection>),
}

impl LoggedConnection {
    fn info(&self) -> &ConnectionInfo {
        match self {
            LoggedConnection::Refused(info) => info,
            LoggedConnection::Established(open) => open,
        }
    }

    fn open(&self) -> Option<&OpenConnection> {
        match self {
            LoggedConnection::Refused(_) => None,
            LoggedConnection::Established(open) => Some(open),
        }
    }
}

/// Calls a macro of `tracing` with the level of an outcome. The macros need a constant level.
macro_rules! at_level {
    ($outcome:expr, $act:ident) => {
        match $outcome.source() {
            OutcomeSource::Internal => $act!(ERROR),
            OutcomeSource::None
            | OutcomeSource::Client
            | OutcomeSource::Policy
            | OutcomeSource::Upstream
            | OutcomeSource::Operator => {
                if $outcome == Outcome::Probe {
                    $act!(DEBUG)
                } else {
                    $act!(INFO)
                }
            }
        }
    };
}

impl EndedConnection {
    /// Describes a connection that ends now.
    pub(super) fn now(
        connection: LoggedConnection,
        outcome: Outcome,
        reason: Option<String>,
        bytes: (u64, u64),
    ) -> EndedConnection {
        let duration = connection.info().accepted.elapsed();
        EndedConnection { connection, outcome, reason, ended: SystemTime::now(), duration, bytes }
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// When it ended, which is the time of its line.
    pub(super) fn ended(&self) -> SystemTime {
        self.ended
    }

    /// Whether the log's level includes its line.
    pub(super) fn is_logged(&self) -> bool {
        macro_rules! enabled {
            ($level:ident) => {
                tracing::enabled!(tracing::Level::$level)
            };
        }
        at_level!(self.outcome, enabled)
    }

    /// Number of bytes that this record takes in memory beyond a usual one: those of the client's certificates.
    pub(super) fn excess_bytes(&self) -> usize {
        self.connection.info().client_chain().unwrap_or_default().iter().map(|certificate| certificate.len()).sum()
    }

    /// Writes the line.
    pub(super) fn log(&self) {
        let EndedConnection { connection, outcome, reason, duration, bytes: (bytes_in, bytes_out), .. } = self;
        let (info, open) = (connection.info(), connection.open());
        let text = |text: &Option<String>| text.as_deref().map(printable);
        let (tls, upstream) = (info.tls.as_deref(), info.upstream.as_deref());
        let client = open.map_or(info.turned_away.as_deref(), OpenConnection::client);
        macro_rules! line {
            ($level:ident) => {
                tracing::event!(
                    tracing::Level::$level,
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
                    duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
                    outcome = outcome.name(),
                    reason = text(reason),
                    "connection"
                )
            };
        }
        at_level!(*outcome, line);
    }
}
