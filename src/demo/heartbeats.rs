//! What the nodes send each other all the time: pings over a link held since the start, and over new ones.
//!
//! Both start in plaintext at the node's own outbound listener, as from a server that knows no TLS; what they are
//! between the nodes is for tlsramp to choose.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::node::{Node, Way};
use super::tally::{Of, Tally};
use super::wire::{Connection, Wire};

/// A link held since the start, by our own address, through which it is known to the node.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) to: &'static str,
    pub(super) local: SocketAddr,
}

/// Starts a node's heartbeats to all others; the links that they hold.
///
/// # Errors
/// In words, for a link that cannot be had.
pub(super) async fn start(node: &Node, tally: &Arc<Tally>, tasks: &mut JoinSet<()>) -> Result<Vec<Held>, String> {
    let mut links = Vec::new();
    for way in &node.ways {
        let name = format!("heartbeat of {} to {}", node.name, way.to);
        let held = Wire::Plaintext.connect(way.listen).await.map_err(|got| format!("{name}: {got}"))?;
        links.push(Held { to: way.to, local: held.local });
        tasks.spawn(beat(name, held, way.clone(), Arc::clone(tally)));
    }
    Ok(links)
}

async fn beat(name: String, held: Connection, way: Way, tally: Arc<Tally>) {
    let mut held = Some(held);
    let mut beats = interval(PERIOD);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        if let Some(mut link) = held.take() {
            let answered = link.ping().await;
            // One that broke is counted once, and missed by whoever looks for it.
            held = answered.is_ok().then_some(link);
            tally.count(Of::Node, &name, answered.map_err(|why| format!("on the link from the start: {why}")));
        }
        let answered = match Wire::Plaintext.connect(way.listen).await {
            Ok(mut link) => link.ping().await,
            Err(got) => Err(got.to_string()),
        };
        tally.count(Of::Node, &name, answered.map_err(|why| format!("on a new link: {why}")));
    }
}

/// Five times a second: no moment of the walk is without.
const PERIOD: Duration = Duration::from_millis(200);
