//! The nodes' admin ports: all asked at once, each answer read.

use std::future::Future;

use tokio::task::JoinSet;

use super::node::Node;
use super::peers::Sight;
use crate::admin_client::{AdminClient, ClientError};
use crate::net::HostPort;
use crate::text::escaped;

/// All nodes, in the order given.
#[derive(Debug)]
pub(super) struct Fleet {
    nodes: Vec<Handle>,
}

/// One node.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    /// Its admin address, as it was given.
    pub(super) name: String,
    pub(super) client: AdminClient,
    /// `tlsramp ctl` for this node, up to its verb, as it is printed.
    pub(super) ctl: String,
    pub(super) public: Public,
}

/// Where a node is looked at from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Public {
    /// By its own name in its set.
    Own,
    /// There.
    At(HostPort),
    /// Nowhere: the operator has said so.
    Nowhere,
}

/// Why a node has not told what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// No answer, or one that says no.
    #[error("{}", escaped(&.0.to_string()))]
    Client(#[from] ClientError),
    /// An answer that cannot be read.
    #[error("its status cannot be read: {0}")]
    Unreadable(String),
}

impl Fleet {
    /// Of these nodes.
    pub(super) fn new(nodes: Vec<Handle>) -> Fleet {
        Fleet { nodes }
    }

    /// A node, by its place.
    pub(super) fn node(&self, node: usize) -> &Handle {
        &self.nodes[node]
    }

    /// A node's name, by its place.
    pub(super) fn name(&self, node: usize) -> &str {
        &self.nodes[node].name
    }

    /// All names, in order.
    pub(super) fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// Where nodes are looked at from outside, where that was given.
    pub(super) fn publics(&self) -> Vec<Option<HostPort>> {
        let public = |node: &Handle| match &node.public {
            Public::At(place) => Some(place.clone()),
            Public::Own | Public::Nowhere => None,
        };
        self.nodes.iter().map(public).collect()
    }

    /// Where every node is.
    pub(super) async fn look(&self) -> Vec<Result<Node, NoAnswer>> {
        self.each(&self.all(), |handle| async move {
            let status = handle.client.status().await?;
            Node::of(&handle.name, &status.value).map_err(NoAnswer::Unreadable)
        })
        .await
    }

    /// Whom every node sees.
    pub(super) async fn sights(&self) -> Vec<Result<Sight, NoAnswer>> {
        self.each(&self.all(), |handle| async move {
            let clients = handle.client.clients(false).await?.value.clients;
            let connections = handle.client.connections(false).await?.value.connections;
            Ok(Sight { clients, connections })
        })
        .await
    }

    /// Asks some nodes at once, and gives the answers in their order.
    pub(super) async fn each<T, F>(&self, places: &[usize], ask: impl Fn(Handle) -> F) -> Vec<Result<T, NoAnswer>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, NoAnswer>> + Send + 'static,
    {
        let mut asking = JoinSet::new();
        for (at, place) in places.iter().enumerate() {
            let question = ask(self.nodes[*place].clone());
            asking.spawn(async move { (at, question.await) });
        }
        let unasked = |_: &usize| Err(NoAnswer::Unreadable("it was not asked".to_owned()));
        let mut answers: Vec<_> = places.iter().map(unasked).collect();
        while let Some(answer) = asking.join_next().await {
            // One that panicked has no answer.
            if let Ok((at, answer)) = answer {
                answers[at] = answer;
            }
        }
        answers
    }

    /// The places of all nodes.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }
}
