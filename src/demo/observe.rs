//! Observes a node from outside: connects as each kind of client, makes new links, and asks the node for the kind of
//! its links.

use std::net::SocketAddr;

use rustls::pki_types::ServerName;

use super::connector::Connector;
use super::files::{Files, host};
use super::heartbeats::HeldLink;
use super::node::{DemoNode, INBOUND, OutboundListener};
use super::truth_table::{ClientResult, LinkResult, Observation};
use crate::policy::{Link, Opening};
use crate::telemetry::Outcome;

/// The connector for TLS to a node, verified with the node's own name.
pub(super) fn tls_to(node: &DemoNode, files: &Files) -> Result<Connector, String> {
    let name = ServerName::try_from(host(node.name)).map_err(|error| error.to_string())?;
    Ok(Connector::Tls(files.client.clone(), name))
}

pub(super) async fn look(node: &DemoNode, tls: &Connector, held: &[HeldLink]) -> Observation {
    let mut fresh = Vec::new();
    for listener in &node.outbound {
        // The link is kept open until the node was asked for its kind.
        fresh.push(match Connector::Plaintext.connect(listener.listen).await {
            Ok(link) => link_of(node, listener, link.local),
            Err(got) => Err(format!("{} by a new link: {got}", listener.to)),
        });
    }
    Observation {
        plaintext: connect(&Connector::Plaintext, node).await,
        tls: connect(tls, node).await,
        fresh,
        held: held
            .iter()
            .map(|held| link_of(node, &held.by, held.local).map_err(|why| format!("to {}: {why}", held.by.to)))
            .collect(),
    }
}

/// The opening of a client's connection, as recorded by the node.
pub(super) fn opening_of(node: &DemoNode, local: SocketAddr) -> Option<Opening> {
    open(node, INBOUND, local).map(|(opening, _)| opening)
}

/// Number of connections that the nodes counted as refused by policy: plaintext, TLS.
pub(super) fn refused(nodes: &[DemoNode]) -> [u64; 2] {
    [Outcome::RefusedPlaintext, Outcome::RefusedTls]
        .map(|outcome| nodes.iter().map(|node| node.app.observer.count(outcome)).sum())
}

async fn connect(connector: &Connector, node: &DemoNode) -> ClientResult {
    match connector.connect(node.inbound).await {
        Ok(_) => ClientResult::Accepted,
        Err(result) => result,
    }
}

pub(super) fn link_of(node: &DemoNode, by: &OutboundListener, local: SocketAddr) -> LinkResult {
    open(node, &by.route, local).map(|(_, link)| link).ok_or_else(|| "the node does not list this link".to_owned())
}

/// The connection of a route with this peer address. Connections to two listeners can have the same peer address.
fn open(node: &DemoNode, route: &str, peer: SocketAddr) -> Option<(Opening, Link)> {
    node.app
        .observer
        .open_connections
        .list()
        .iter()
        .find(|open| *open.route.name == *route && open.peer == peer)
        .map(|open| (open.opening, open.link))
}
