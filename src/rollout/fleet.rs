//! The admin ports of all nodes, which are queried concurrently.

use std::future::Future;

use tokio::task::JoinSet;

use super::node::Node;
use super::peers::ObservedPeers;
use crate::admin_client::{AdminClient, ClientError};
use crate::net::HostPort;
use crate::text::escaped;

/// All nodes, in the order of the command line.
#[derive(Debug)]
pub(super) struct Fleet {
    nodes: Vec<NodeHandle>,
}

/// The addresses and settings to reach one node.
#[derive(Debug, Clone)]
pub(super) struct NodeHandle {
    /// The node's admin address, as written on the command line.
    pub(super) name: String,
    pub(super) client: AdminClient,
    /// The `tlsramp ctl` command with the options for this node, for messages.
    pub(super) ctl: String,
    pub(super) public: PublicAddress,
}

/// The address at which a node is checked from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PublicAddress {
    /// The name that the node has in its set.
    OwnName,
    At(HostPort),
    /// No check.
    None,
}

/// Why a node gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// No answer, or a refusal.
    #[error("{}", escaped(&.0.to_string()))]
    Client(#[from] ClientError),
    #[error("its status cannot be read: {0}")]
    Unreadable(String),
}

impl Fleet {
    pub(super) fn new(nodes: Vec<NodeHandle>) -> Fleet {
        Fleet { nodes }
    }

    pub(super) fn node(&self, node: usize) -> &NodeHandle {
        &self.nodes[node]
    }

    pub(super) fn name(&self, node: usize) -> &str {
        &self.nodes[node].name
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// The addresses that were given for the check from outside.
    pub(super) fn public_addresses(&self) -> Vec<Option<HostPort>> {
        let public = |node: &NodeHandle| match &node.public {
            PublicAddress::At(place) => Some(place.clone()),
            PublicAddress::OwnName | PublicAddress::None => None,
        };
        self.nodes.iter().map(public).collect()
    }

    /// The state of every node.
    pub(super) async fn look(&self) -> Vec<Result<Node, AnswerError>> {
        self.each(&self.all(), |handle| async move {
            let status = handle.client.status().await?;
            Node::of(&handle.name, status.value).map_err(AnswerError::Unreadable)
        })
        .await
    }

    /// The clients and connections of every node.
    pub(super) async fn observed_peers(&self) -> Vec<Result<ObservedPeers, AnswerError>> {
        self.each(&self.all(), |handle| async move {
            let clients = handle.client.clients(false).await?.value.clients;
            let connections = handle.client.connections(false).await?.value.connections;
            Ok(ObservedPeers { clients, connections })
        })
        .await
    }

    /// Queries some nodes concurrently. The answers have the order of `places`.
    pub(super) async fn each<T, F>(
        &self,
        places: &[usize],
        ask: impl Fn(NodeHandle) -> F,
    ) -> Vec<Result<T, AnswerError>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, AnswerError>> + Send + 'static,
    {
        let mut asking = JoinSet::new();
        for (at, place) in places.iter().enumerate() {
            let question = ask(self.nodes[*place].clone());
            asking.spawn(async move { (at, question.await) });
        }
        let unasked = |_: &usize| Err(AnswerError::Unreadable("the request was not sent".to_owned()));
        let mut answers: Vec<_> = places.iter().map(unasked).collect();
        while let Some(answer) = asking.join_next().await {
            // A task that panicked gives no answer.
            if let Ok((at, answer)) = answer {
                answers[at] = answer;
            }
        }
        answers
    }

    /// The indices of all nodes.
    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }
}

/// Returns all answers, or the first error with the index of its node.
pub(super) fn all_of<T>(answers: Vec<Result<T, AnswerError>>) -> Result<Vec<T>, (usize, AnswerError)> {
    answers.into_iter().enumerate().map(|(node, answer)| answer.map_err(|error| (node, error))).collect()
}
