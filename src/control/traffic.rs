//! The connections of clients in numbers that only grow: accepted connections, and refused ones by reason.

use super::view::View;
use crate::policy::{Acceptance, Opening};
use crate::route::RouteId;
use crate::telemetry::Outcome;

/// The connections of clients since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTraffic {
    /// The connections on inbound routes that clients opened in plaintext, ended ones included.
    pub plaintext: u64,
    /// The connections on inbound routes that clients opened with TLS, ended ones included.
    pub tls: u64,
    /// The refused and failed connections on all routes, by outcome; only outcomes that occurred.
    pub refused: Vec<(Outcome, u64)>,
}

/// Counts the connections of clients since the start.
pub fn traffic(view: &View) -> ClientTraffic {
    let (observer, route) = (view.observer(), RouteId::Inbound.name());
    // Under the lock of the table, each connection is either open or counted as ended.
    let (ended, open) = observer.open_connections.list_with(|| observer.metrics.ended_by_opening(&route));
    let [mut plaintext, mut tls] = ended;
    for open in open.iter().filter(|open| open.acceptance != Acceptance::Outbound) {
        *(if open.opening == Opening::Plaintext { &mut plaintext } else { &mut tls }) += 1;
    }
    let refusals = Outcome::ALL.into_iter().filter(|outcome| outcome.is_refusal());
    let refused = refusals.map(|outcome| (outcome, observer.count(outcome))).filter(|(_, count)| *count > 0).collect();
    ClientTraffic { plaintext, tls, refused }
}
