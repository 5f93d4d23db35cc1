//! All that runs during a demo: the nodes, their heartbeats, the clients.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::clients::SteadyClient;
use super::files::Files;
use super::heartbeats::{self, Held};
use super::node::{self, Node};
use super::observe::{look, tls_to};
use super::screen::Screen;
use super::tally::Tally;
use super::truth::Seen;
use super::wire::Wire;

/// Everything that runs.
pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    pub(super) clients: Vec<SteadyClient>,
    pub(super) tally: Arc<Tally>,
    /// By node: how its TLS clients connect.
    tls: Vec<Wire>,
    /// By node: its links from the start.
    held: Vec<Vec<Held>>,
    /// Clients and heartbeats; they end with this.
    tasks: JoinSet<()>,
}

impl Cluster {
    /// Starts the nodes in mode `disabled`, their heartbeats, and so many clients, in plaintext, spread over them.
    ///
    /// # Errors
    /// In words; nothing is left running.
    pub(super) async fn start(files: &Files, clients: usize) -> Result<Cluster, String> {
        let nodes = node::start_all(files).await.map_err(|error| error.to_string())?;
        let mut cluster = Cluster {
            tls: nodes.iter().map(|node| tls_to(node, files)).collect::<Result<_, _>>()?,
            nodes,
            clients: Vec::new(),
            tally: Arc::default(),
            held: Vec::new(),
            tasks: JoinSet::new(),
        };
        for node in &cluster.nodes {
            cluster.held.push(heartbeats::start(node, &cluster.tally, &mut cluster.tasks).await?);
        }
        for number in 0..clients {
            let place = number % cluster.nodes.len();
            let node = (place, cluster.nodes[place].inbound);
            let client = SteadyClient::start(number + 1, node, &cluster.tally, &mut cluster.tasks).await;
            // Why is what the client itself has met.
            let whole = |what: String| [vec![what], cluster.tally.words()].concat().join("; ");
            cluster.clients.push(client.map_err(whole)?);
        }
        Ok(cluster)
    }

    /// Looks at the node in this place.
    pub(super) async fn look(&self, place: usize) -> Seen {
        look(&self.nodes[place], &self.tls[place], &self.held[place]).await
    }

    /// Keeps the screen's live line up to date from now on.
    pub(super) fn accompany(&mut self, screen: Screen) {
        self.tasks.spawn(screen.follow(Arc::clone(&self.tally)));
    }

    /// How TLS clients connect to the node in this place.
    pub(super) fn tls(&self, place: usize) -> Wire {
        self.tls[place].clone()
    }

    /// Ends clients and heartbeats, then the nodes.
    pub(super) async fn stop(mut self) {
        self.tasks.shutdown().await;
        for node in self.nodes {
            node.stop().await;
        }
    }
}
