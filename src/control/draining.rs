//! Closes connections at message boundaries while the proxy stops.
//!
//! Connections that have been idle for over a second are closed first, busy ones at a later boundary, so that a stop
//! waits only for requests and transactions in progress. Connections whose messages cannot be followed are left until
//! they end or are cut off.

use std::collections::BTreeMap;
use std::convert::Infallible;

use tokio::time::{Instant, sleep};

use super::recycle::{Risk, risk};
use super::view::View;
use crate::limits::DRAIN_LOOK;
use crate::telemetry::OpenConnection;

/// Logs which connections are at risk, then closes the inbound or the outbound connections at message boundaries, also
/// those that are established meanwhile. From `last` on, any boundary is used.
pub async fn drain_connections(view: &View, outbound: bool, last: Option<Instant>) -> Infallible {
    log_risks(view, outbound);
    loop {
        let servers = view.servers();
        for open in of_direction(view, outbound).filter(|open| !open.recycling.is_draining()) {
            match risk(&open, &servers) {
                None | Some(Risk::Unanswered) => open.recycling.drain(false, last),
                Some(Risk::Standalone | Risk::UnknownServer) => open.recycling.drain(true, last),
                Some(Risk::NotMongodb | Risk::PassedThrough) => {}
            }
        }
        sleep(DRAIN_LOOK).await;
    }
}

fn of_direction(view: &View, outbound: bool) -> impl Iterator<Item = std::sync::Arc<OpenConnection>> {
    view.observer().open_connections.list().into_iter().filter(move |open| open.is_outbound() == outbound)
}

fn log_risks(view: &View, outbound: bool) {
    let (servers, mut risks) = (view.servers(), BTreeMap::<Risk, usize>::new());
    for risk in of_direction(view, outbound).filter_map(|open| risk(&open, &servers)) {
        *risks.entry(risk).or_default() += 1;
    }
    for (risk, connections) in risks {
        tracing::warn!(connections, "stopping: {}", text(risk));
    }
}

/// How a stop treats the connections of a risk.
const fn text(risk: Risk) -> &'static str {
    match risk {
        Risk::Standalone => {
            "the server of these connections is not a member of a replica set, so they are closed once they have been \
             idle for a second; busy ones are waited for until the drain timeout"
        }
        Risk::UnknownServer => {
            "the state of the server of these connections is unknown, so they are closed once they have been idle for a \
             second; busy ones are waited for until the drain timeout"
        }
        Risk::NotMongodb => {
            "these connections do not carry MongoDB messages, so they are waited for until they end or the drain timeout"
        }
        Risk::PassedThrough => {
            "the TLS of these connections is passed through, so they are waited for until they end or the drain timeout"
        }
        Risk::Unanswered => {
            "these connections have sent unacknowledged requests (w: 0); one that is in transit at the close is lost \
             without notice"
        }
    }
}
