//! Finds servers (mongod or mongos) that are connected to a node but are not listed as nodes. They are reported
//! before anything is changed. PURE.
//!
//! A member that is in no `hello`, such as a hidden one, still has connections to other members. `requireSSL`, or an
//! earlier mode, would cut it off. The remedy is to list its tlsramp as a node.
//!
//! A node has several names: its name in the set, the names that other nodes dial, and addresses. A peer counts as a
//! listed node if any of these matches:
//!
//! - the name in the set, or an address that any node resolves that name to;
//! - an address that the node listens on, or at which the external check reaches it;
//! - the destination of another node's outbound route, provided that one of these holds: the server there reports the
//!   name in the set as `me` in its `hello`; its certificate is verified for that name (`name=`); the other node
//!   resolves that name to the listener of the route (`/etc/hosts`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::limits::PEER_SEEN;
use super::node::Node;
use crate::admin::replies::{ClientRow, ConnectionRow, LinkStatus, UpstreamStatus};
use crate::admin_client::AdminAddress;
use crate::net::HostPort;
use crate::text::printable;

/// The peers that a node reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ObservedPeers {
    pub(super) clients: Vec<ClientRow>,
    pub(super) connections: Vec<ConnectionRow>,
}

/// The names and addresses of all listed nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ListedNodes {
    /// The nodes' names in their sets, in lower case.
    names: BTreeSet<String>,
    ips: BTreeSet<IpAddr>,
    endpoints: BTreeSet<SocketAddr>,
    /// The local names of each node, in the order of the nodes.
    local: Vec<LocalNames>,
}

/// Names and addresses of servers, as one node knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct LocalNames {
    /// Servers of the node's outbound routes that are listed nodes, in lower case.
    aliases: BTreeSet<String>,
    /// The addresses to which names resolve at the node; names in lower case.
    addresses: BTreeMap<String, Vec<IpAddr>>,
    /// Whether the node is a proxy beside an application.
    outbound_only: bool,
}

/// A peer that is not a listed node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UnlistedPeer {
    /// The index of the node that reports it.
    pub(super) node: usize,
    pub(super) text: String,
}

/// Addresses of the host names that were resolved here; names in lower case.
pub(super) type ResolvedHosts = BTreeMap<String, Vec<IpAddr>>;

impl ListedNodes {
    /// Gathers every name and address of the nodes.
    pub(super) fn of(nodes: &[Node], publics: &[Option<HostPort>], resolved: &ResolvedHosts) -> ListedNodes {
        let names: BTreeSet<_> = nodes.iter().filter_map(Node::me).collect();
        let views: Vec<_> = nodes.iter().map(|node| LocalNames::of(node, &names)).collect();
        let mut known = ListedNodes { names, local: views, ..ListedNodes::default() };
        for (node, public) in nodes.iter().zip(publics) {
            known.add(node, public.as_ref(), resolved);
        }
        for view in &known.local {
            for target in view.aliases.iter().filter_map(|alias| alias.parse::<HostPort>().ok()) {
                let ips = view.resolve(&target, resolved).into_iter().map(|ip| ip.to_canonical());
                let ips: Vec<_> = ips.filter(|ip| !ip.is_loopback()).collect();
                known.ips.extend(&ips);
                known.endpoints.extend(ips.iter().map(|ip| SocketAddr::new(*ip, target.port)));
            }
        }
        known
    }

    /// Adds one node's addresses: of its name, its listeners, its public address and its admin port.
    fn add(&mut self, node: &Node, public: Option<&HostPort>, resolved: &ResolvedHosts) {
        let me = node.me();
        let name = me.as_deref().and_then(|me| me.parse::<HostPort>().ok());
        let at_nodes = me.iter().flat_map(|me| self.local.iter().filter_map(|view| view.addresses.get(me)));
        let mut ips: BTreeSet<_> = at_nodes.flatten().copied().collect();
        for place in name.iter().chain(public) {
            ips.extend(addresses(&place.host, resolved));
        }
        ips.extend(&node.listens);
        for place in name.iter().chain(public) {
            self.endpoints.extend(ips.iter().map(|ip: &IpAddr| SocketAddr::new(ip.to_canonical(), place.port)));
        }
        ips.extend(admin_host(&node.name).iter().flat_map(|host| addresses(host, resolved)));
        self.ips.extend(ips.iter().map(IpAddr::to_canonical));
    }

    /// Whether a server that a node dials is a listed node.
    pub(super) fn has(&self, node: usize, target: &HostPort, resolved: &ResolvedHosts) -> bool {
        let name = target.to_string().to_ascii_lowercase();
        let view = self.local.get(node);
        let ips = view.map_or_else(|| addresses(&target.host, resolved), |view| view.resolve(target, resolved));
        self.names.contains(&name)
            || view.is_some_and(|view| view.aliases.contains(&name))
            || ips.iter().any(|ip| self.endpoints.contains(&SocketAddr::new(ip.to_canonical(), target.port)))
    }
}

impl LocalNames {
    fn of(node: &Node, names: &BTreeSet<String>) -> LocalNames {
        let parsed = |ip: &String| ip.parse::<IpAddr>().ok();
        let addresses: BTreeMap<_, Vec<IpAddr>> = node
            .status
            .members
            .iter()
            .map(|member| (member.name.to_ascii_lowercase(), member.addresses.iter().filter_map(parsed).collect()))
            .collect();
        // Whether a name in the set resolves to the listener of an outbound route, as by /etc/hosts.
        let leads_to = |listen: &SocketAddr| {
            names.iter().filter(|name| port(name) == Some(listen.port())).any(|name| {
                addresses.get(name).is_some_and(|ips| ips.iter().any(|ip| ip.to_canonical() == listen.ip()))
            })
        };
        let by_listener =
            node.outbound_listeners.iter().filter(|(_, listen)| leads_to(listen)).map(|(target, _)| target);
        let is_named = |up: &&UpstreamStatus| up.me.as_ref().is_some_and(|me| names.contains(&me.to_ascii_lowercase()));
        let by_hello = node.outbound.iter().filter(is_named).map(|up| &up.upstream);
        // Checks the names that verify the server of a link, including `name=`.
        let is_verified = |link: &&LinkStatus| {
            let port = port(&link.destination);
            let name = |name: &String| format!("{}:{}", name.to_ascii_lowercase(), port.unwrap_or_default());
            link.names.iter().any(|one| names.contains(&name(one)))
        };
        let by_link = node.status.links.iter().filter(is_verified).map(|link| &link.destination);
        let aliases = by_listener.chain(by_hello).chain(by_link).map(|target| target.to_ascii_lowercase()).collect();
        LocalNames { aliases, addresses, outbound_only: node.is_outbound_only() }
    }

    /// The addresses of a name, as resolved at the node and as resolved here.
    fn resolve(&self, target: &HostPort, resolved: &ResolvedHosts) -> Vec<IpAddr> {
        let own = self.addresses.get(&target.to_string().to_ascii_lowercase()).cloned().unwrap_or_default();
        own.into_iter().chain(addresses(&target.host, resolved)).collect()
    }
}

/// The host names to resolve: those of the nodes, and those that they dial.
pub(super) fn names(
    nodes: &[Node],
    publics: &[Option<HostPort>],
    observed_peers: &[ObservedPeers],
) -> BTreeSet<String> {
    let me = nodes.iter().filter_map(Node::me).filter_map(|me| me.parse::<HostPort>().ok()).map(|me| me.host);
    let public = publics.iter().flatten().map(|public| public.host.clone());
    let admin = nodes.iter().filter_map(|node| admin_host(&node.name));
    let dialled =
        observed_peers.iter().flat_map(|observed| &observed.connections).filter_map(dialled).map(|target| target.host);
    let all = me.chain(public).chain(admin).chain(dialled).map(|host| host.to_ascii_lowercase());
    all.filter(|host| host.parse::<IpAddr>().is_err()).collect()
}

/// Every peer that is not a listed node. `now` is in milliseconds since 1970.
pub(super) fn unlisted(
    known: &ListedNodes,
    observed_peers: &[ObservedPeers],
    resolved: &ResolvedHosts,
    now: i64,
) -> BTreeSet<UnlistedPeer> {
    let mut found = BTreeSet::new();
    for (node, observed) in observed_peers.iter().enumerate() {
        // Connections of a proxy beside an application belong to the application, and may lead to any server.
        if known.local.get(node).is_some_and(|view| view.outbound_only) {
            continue;
        }
        let came = observed.clients.iter().filter_map(|row| inbound_peer(row, known, now));
        let unlisted = |target: &HostPort| !known.has(node, target, resolved);
        let dialled =
            observed.connections.iter().filter_map(dialled).filter(unlisted).map(|target| dialled_text(&target));
        found.extend(came.chain(dialled).map(|text| UnlistedPeer { node, text }));
    }
    found
}

/// Unlisted members of the nodes' sets that answer the probe of a node.
pub(super) fn answering(nodes: &[Node], known: &ListedNodes, resolved: &ResolvedHosts) -> BTreeSet<UnlistedPeer> {
    let server = |node: &Node| node.server.as_ref().and_then(|server| server.set_name.clone());
    let sets: BTreeSet<_> = nodes.iter().filter_map(server).collect();
    let mut found = BTreeSet::new();
    for (node, one) in nodes.iter().enumerate() {
        for up in one.outbound.iter().filter(|up| up.up && up.set_name.as_ref().is_some_and(|set| sets.contains(set))) {
            let Ok(target) = up.upstream.parse::<HostPort>() else { continue };
            if !known.has(node, &target, resolved) {
                let name = up.me.as_deref().map(|me| format!(" ({})", printable(me))).unwrap_or_default();
                let text = format!("a live member at {target}{name} is not a listed node");
                found.insert(UnlistedPeer { node, text });
            }
        }
    }
    found
}

fn inbound_peer(row: &ClientRow, known: &ListedNodes, now: i64) -> Option<String> {
    let ip = row.ip.parse::<IpAddr>().ok()?.to_canonical();
    let is_there = row.member && (row.open > 0 || is_recent(&row.last_seen, now));
    if !is_there || ip.is_loopback() || known.ips.contains(&ip) {
        return None;
    }
    let name = row.application.as_deref().or(row.driver.as_deref()).map(|name| format!(" ({})", printable(name)));
    let name = name.unwrap_or_default();
    Some(format!(
        "a mongod or mongos at {ip}{name} is connected to it and is not a listed node: add its tlsramp with --node; if \
         {ip} is another address of a listed node, start this tlsramp with --member NAME:PORT={ip}"
    ))
}

fn dialled_text(target: &HostPort) -> String {
    format!(
        "its server is connected to {target}, which is not a listed node (a hidden member?): add its tlsramp with \
         --node; if it is another name of a listed node, give that node's name in the set as name= of the outbound \
         route"
    )
}

/// The server that a node's own server dials by this connection. Connections of applications on an outbound route do
/// not count. A connection without client metadata counts, since servers before 3.6 send none.
fn dialled(row: &ConnectionRow) -> Option<HostPort> {
    let is_server = row.member || (row.application.is_none() && row.driver.is_none());
    let target = row.route.strip_prefix("outbound ")?;
    let target = row.upstream.as_deref().unwrap_or(target).parse().ok()?;
    is_server.then_some(target)
}

fn admin_host(name: &str) -> Option<String> {
    // A Unix socket has no host name.
    name.parse::<AdminAddress>().ok()?;
    name.parse::<HostPort>().ok().map(|place| place.host)
}

fn addresses(host: &str, resolved: &ResolvedHosts) -> Vec<IpAddr> {
    host.parse().map_or_else(|_| resolved.get(&host.to_ascii_lowercase()).cloned().unwrap_or_default(), |ip| vec![ip])
}

fn port(name: &str) -> Option<u16> {
    name.parse::<HostPort>().ok().map(|name| name.port)
}

/// Whether a time is within [`PEER_SEEN`] of `now`. Assumes that clocks differ little; a connected peer counts in any
/// case.
fn is_recent(moment: &str, now: i64) -> bool {
    let Ok(seen) = bson::DateTime::parse_rfc3339_str(moment) else { return false };
    u128::from(now.abs_diff(seen.timestamp_millis())) < PEER_SEEN.as_millis()
}

#[cfg(test)]
mod tests;
