//! The MongoDB servers that are connected to the nodes, and which of these servers are not listed nodes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::context::Rollout;
use super::fleet::{AnswerError, Fleet, all_of};
use super::halt::Halt;
use super::health;
use super::limits::RESOLVE;
use super::node::Node;
use super::peers::{self, ListedNodes, ObservedPeers, ResolvedHosts, UnlistedPeer};
use crate::telemetry::now_millis;

/// The peers of all nodes, and the names and addresses of the nodes themselves.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) observed: Vec<ObservedPeers>,
    pub(super) listed: ListedNodes,
    pub(super) resolved: ResolvedHosts,
}

impl Survey {
    pub(super) fn unlisted(&self) -> BTreeSet<UnlistedPeer> {
        peers::unlisted(&self.listed, &self.observed, &self.resolved, now_millis())
    }

    /// The unlisted peers that are alive, which a rollback would cut off. Includes members of the nodes' sets that only
    /// answer a probe.
    pub(super) fn left_behind(&self, nodes: &[Node]) -> BTreeSet<UnlistedPeer> {
        let mut live = self.unlisted();
        live.extend(peers::answering(nodes, &self.listed, &self.resolved));
        live
    }
}

/// Asks the nodes for their peers, and resolves the names in the answers.
///
/// # Errors
/// The first node that does not answer.
pub(super) async fn survey(
    fleet: &Fleet,
    nodes: &[Node],
    resolved: &RefCell<ResolvedHosts>,
) -> Result<Survey, (usize, AnswerError)> {
    let observed = all_of(fleet.observed_peers().await)?;
    let publics = fleet.public_addresses();
    for name in peers::names(nodes, &publics, &observed) {
        // Each name is looked up only once: a name that does not resolve would delay every step.
        if !resolved.borrow().contains_key(&name) {
            let addresses = resolve(&name).await;
            resolved.borrow_mut().insert(name, addresses);
        }
    }
    let resolved = resolved.borrow().clone();
    Ok(Survey { observed, listed: ListedNodes::of(nodes, &publics, &resolved), resolved })
}

/// A line for each peer, with the node that reports it.
pub(super) fn lines(fleet: &Fleet, found: &BTreeSet<UnlistedPeer>) -> Vec<String> {
    found.iter().map(|peer| format!("{}: {}", fleet.name(peer.node), peer.text)).collect()
}

impl Rollout {
    /// # Errors
    /// A node that does not answer.
    pub(super) async fn survey(&self, nodes: &[Node]) -> Result<Survey, Halt> {
        let survey = survey(&self.fleet, nodes, &self.resolved).await;
        survey.map_err(|(node, error)| self.no_answer(node, &error))
    }

    /// Checks that every mongod and mongos that is connected to a node is a listed node.
    ///
    /// # Errors
    /// Each server that is not a listed node.
    pub(super) async fn no_unlisted(&self, nodes: &[Node]) -> Result<(), Halt> {
        let found = self.survey(nodes).await?.unlisted();
        if found.is_empty() { Ok(()) } else { Err(Halt::Stopped(lines(&self.fleet, &found).join("\n"))) }
    }

    /// Checks before a rollback that no live member is left behind. A member that is down is only reported.
    ///
    /// # Errors
    /// Each live member, unless forced.
    pub(super) async fn none_left_behind(&self, nodes: &[Node]) -> Result<(), Halt> {
        let live = self.survey(nodes).await?.left_behind(nodes);
        health::missing(nodes).iter().for_each(|problem| self.tell_all(&problem.text));
        let lines = lines(&self.fleet, &live);
        if self.force {
            lines.iter().for_each(|line| self.tell_all(line));
        } else if !lines.is_empty() {
            return Err(Halt::Stopped(format!("{}\n{LEFT_BEHIND}", lines.join("\n"))));
        }
        Ok(())
    }
}

const LEFT_BEHIND: &str = "a member that stays in its mode is cut off when the others leave that mode: list it as \
     --node; --force continues without it";

async fn resolve(name: &str) -> Vec<IpAddr> {
    match timeout(RESOLVE, lookup_host((name, 0))).await {
        Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}
