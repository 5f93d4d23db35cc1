//! The nodes, their heartbeats, and the clients.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::clients::SteadyClient;
use super::connector::Connector;
use super::files::Files;
use super::heartbeats::{self, HeldLink};
use super::node::{self, DemoNode};
use super::observe::{look, tls_to};
use super::tally::Tally;
use super::truth_table::Observation;

pub(super) struct Cluster {
    pub(super) nodes: Vec<DemoNode>,
    pub(super) clients: Vec<SteadyClient>,
    pub(super) tally: Arc<Tally>,
    /// The connector of each node's TLS clients, indexed by node.
    tls: Vec<Connector>,
    /// The links of each node that are held since the start, indexed by node.
    held: Vec<Vec<HeldLink>>,
    /// Clients and heartbeats, which end when this is dropped.
    tasks: JoinSet<()>,
}

impl Cluster {
    /// Starts the nodes in mode `disabled`, their heartbeats, and plaintext clients, which are spread evenly over the
    /// nodes.
    ///
    /// # Errors
    /// The reason why something could not be started; nothing is left running.
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
            // The client has counted its failures, and the reason is one of them.
            let with_reason = |what: String| [vec![what], cluster.tally.first_failures()].concat().join("; ");
            cluster.clients.push(client.map_err(with_reason)?);
        }
        Ok(cluster)
    }

    pub(super) async fn look(&self, place: usize) -> Observation {
        look(&self.nodes[place], &self.tls[place], &self.held[place]).await
    }

    /// The connector of the node's TLS clients.
    pub(super) fn tls(&self, place: usize) -> Connector {
        self.tls[place].clone()
    }

    pub(super) async fn stop(mut self) {
        self.tasks.shutdown().await;
        for node in self.nodes {
            node.stop().await;
        }
    }
}
