//! The events of `GET /events` that are no replies to other requests.

use serde::Serialize;

use crate::telemetry::Outcome;

/// The event `access`: what the page may offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PageAccess {
    /// Whether changes are permitted on this connection.
    pub may_change: bool,
    /// Whether the proxy is stopping.
    pub stopping: bool,
    /// The pages of other nodes (`--adminLink`).
    pub links: Vec<String>,
}

/// A row of the event `refusals`: refused and failed connections by reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalCount {
    /// The outcome, as in the log.
    pub outcome: &'static str,
    /// The number of connections since the start.
    pub connections: u64,
}

impl From<(Outcome, u64)> for RefusalCount {
    fn from((outcome, connections): (Outcome, u64)) -> RefusalCount {
        RefusalCount { outcome: outcome.name(), connections }
    }
}
