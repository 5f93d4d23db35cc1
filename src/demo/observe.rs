//! Looks at a node as others see it: connects as each kind of client, makes new links, and asks the node what its
//! links are.

use std::net::SocketAddr;

use rustls::pki_types::ServerName;

use super::files::{Files, host};
use super::heartbeats::Held;
use super::node::Node;
use super::truth::{Got, Linked, Seen};
use super::wire::Wire;
use crate::policy::{Link, Opening};
use crate::telemetry::Outcome;

/// TLS to a node, by its own name.
///
/// # Errors
/// If its name is no name for TLS.
pub(super) fn tls_to(node: &Node, files: &Files) -> Result<Wire, String> {
    let name = ServerName::try_from(host(node.name)).map_err(|error| error.to_string())?;
    Ok(Wire::Tls(files.client.clone(), name))
}

/// Everything about one node, now.
pub(super) async fn look(node: &Node, tls: &Wire, held: &[Held]) -> Seen {
    let mut fresh = Vec::new();
    for way in &node.ways {
        // Kept until it has been looked at.
        fresh.push(match Wire::Plaintext.connect(way.listen).await {
            Ok(link) => link_of(node, link.local),
            Err(got) => Err(format!("{} by a new link: {got}", way.to)),
        });
    }
    Seen {
        plaintext: got(&Wire::Plaintext, node).await,
        tls: got(tls, node).await,
        fresh,
        held: held
            .iter()
            .map(|held| link_of(node, held.local).map_err(|why| format!("to {}: {why}", held.to)))
            .collect(),
    }
}

/// How a client's connection opened, as the node knows it.
pub(super) fn opening_of(node: &Node, local: SocketAddr) -> Option<Opening> {
    open(node, local).map(|(opening, _)| opening)
}

/// Connections that the node counts as refused by policy: plaintext, TLS.
pub(super) fn refused(nodes: &[Node]) -> [u64; 2] {
    [Outcome::RefusedPlaintext, Outcome::RefusedTls]
        .map(|outcome| nodes.iter().map(|node| node.app.observer.count(outcome)).sum())
}

async fn got(wire: &Wire, node: &Node) -> Got {
    match wire.connect(node.inbound).await {
        Ok(_) => Got::Accepted,
        Err(got) => got,
    }
}

fn link_of(node: &Node, local: SocketAddr) -> Linked {
    open(node, local).map(|(_, link)| link).ok_or_else(|| "the node knows no such link".to_owned())
}

fn open(node: &Node, peer: SocketAddr) -> Option<(Opening, Link)> {
    node.app
        .observer
        .open_connections
        .list()
        .iter()
        .find(|open| open.peer == peer)
        .map(|open| (open.opening, open.link))
}
