//! Heartbeats between the nodes: pings over a link that is held since the start, and over new links.
//!
//! Both start as plaintext at the node's own outbound listener, like connections of a server without TLS; tlsramp
//! chooses plaintext or TLS between the nodes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::connector::{Connector, NodeConnection};
use super::node::{DemoNode, OutboundListener};
use super::tally::{CountedKind, Tally};

/// A link that is held since the start, identified by its listener and its local address, which the node sees as the peer
/// address.
#[derive(Debug, Clone)]
pub(super) struct HeldLink {
    pub(super) by: OutboundListener,
    pub(super) local: SocketAddr,
}

/// Starts a node's heartbeats to all other nodes. Returns the links that they hold.
pub(super) async fn start(
    node: &DemoNode,
    tally: &Arc<Tally>,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<HeldLink>, String> {
    let mut links = Vec::new();
    for listener in &node.outbound {
        let name = format!("heartbeat of {} to {}", node.name, listener.to);
        let held = Connector::Plaintext.connect(listener.listen).await.map_err(|got| format!("{name}: {got}"))?;
        links.push(HeldLink { by: listener.clone(), local: held.local });
        tasks.spawn(beat(name, held, listener.clone(), Arc::clone(tally)));
    }
    Ok(links)
}

async fn beat(name: String, held: NodeConnection, listener: OutboundListener, tally: Arc<Tally>) {
    let mut held = Some(held);
    let mut beats = interval(PERIOD);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        if let Some(mut link) = held.take() {
            let answered = link.ping().await;
            // A broken link is counted once, and the upgrade notices that it is missing.
            held = answered.is_ok().then_some(link);
            tally.count(
                CountedKind::Heartbeat,
                &name,
                answered.map_err(|why| format!("on the link from the start: {why}")),
            );
        }
        let answered = match Connector::Plaintext.connect(listener.listen).await {
            Ok(mut link) => link.ping().await,
            Err(got) => Err(got.to_string()),
        };
        tally.count(CountedKind::Heartbeat, &name, answered.map_err(|why| format!("on a new link: {why}")));
    }
}

/// Five heartbeats per second, so that every step sees some.
const PERIOD: Duration = Duration::from_millis(200);
