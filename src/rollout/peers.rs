//! Peers that are mongod or mongos and no listed node: seen by the nodes, and named before anything is changed. PURE.
//!
//! A member that hellos do not name, such as a hidden one, dials the others and is dialled by them all the same; it would
//! be cut off by `requireSSL`, or sooner. The remedy is to list its tlsramp as a node.
//!
//! A node has more than one name: its own in the set, those that other nodes dial it by, and addresses. A peer is a listed
//! node if any of these says so:
//!
//! - the name in the set, or an address that any node resolves that name to;
//! - an address that the node listens on, or that it is looked at from outside;
//! - what the server at the end of an outbound route calls itself (`me` in its hello);
//! - the names that verify the server at the end of an outbound route (`name=`);
//! - an outbound route that listens on the address that the name in the set leads to there (`/etc/hosts`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::node::Node;
use crate::admin_client::AdminAddress;
use crate::control::views::{ClientRow, ConnectionRow, LinkStatus, UpstreamStatus};
use crate::limits::ROLLOUT_PEER;
use crate::net::HostPort;
use crate::text::printable;

/// What a node has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) clients: Vec<ClientRow>,
    pub(super) connections: Vec<ConnectionRow>,
}

/// Where the listed nodes are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Their names in their sets, in lower case.
    names: BTreeSet<String>,
    ips: BTreeSet<IpAddr>,
    endpoints: BTreeSet<SocketAddr>,
    /// What each node knows, in their order.
    views: Vec<View>,
}

/// The peers of one node, as that node names and resolves them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct View {
    /// Servers that its outbound routes lead to and that are listed nodes, in lower case.
    aliases: BTreeSet<String>,
    /// Addresses of names, as resolved there. The names are in lower case.
    addresses: BTreeMap<String, Vec<IpAddr>>,
    /// Whether it leads an application to servers, and fronts none.
    outbound_only: bool,
}

/// A peer that is no listed node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stranger {
    /// The node that sees it, by its place in the list.
    pub(super) node: usize,
    pub(super) text: String,
}

/// Addresses of host names, as far as they were looked up.
pub(super) type Resolved = BTreeMap<String, Vec<IpAddr>>;

impl Known {
    /// Gathers every name and address of the nodes.
    pub(super) fn of(nodes: &[Node], publics: &[Option<HostPort>], resolved: &Resolved) -> Known {
        let names: BTreeSet<_> = nodes.iter().filter_map(Node::me).collect();
        let views: Vec<_> = nodes.iter().map(|node| View::of(node, &names)).collect();
        let mut known = Known { names, views, ..Known::default() };
        for (node, public) in nodes.iter().zip(publics) {
            known.add(node, public.as_ref(), resolved);
        }
        for view in &known.views {
            for target in view.aliases.iter().filter_map(|alias| alias.parse::<HostPort>().ok()) {
                let ips = view.resolve(&target, resolved).into_iter().map(|ip| ip.to_canonical());
                let ips: Vec<_> = ips.filter(|ip| !ip.is_loopback()).collect();
                known.ips.extend(&ips);
                known.endpoints.extend(ips.iter().map(|ip| SocketAddr::new(*ip, target.port)));
            }
        }
        known
    }

    /// One node's addresses: of its name, where it listens, where it is looked at, where its admin port is.
    fn add(&mut self, node: &Node, public: Option<&HostPort>, resolved: &Resolved) {
        let me = node.me();
        let name = me.as_deref().and_then(|me| me.parse::<HostPort>().ok());
        let at_nodes = me.iter().flat_map(|me| self.views.iter().filter_map(|view| view.addresses.get(me)));
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
    pub(super) fn has(&self, node: usize, target: &HostPort, resolved: &Resolved) -> bool {
        let name = target.to_string().to_ascii_lowercase();
        let view = self.views.get(node);
        let ips = view.map_or_else(|| addresses(&target.host, resolved), |view| view.resolve(target, resolved));
        self.names.contains(&name)
            || view.is_some_and(|view| view.aliases.contains(&name))
            || ips.iter().any(|ip| self.endpoints.contains(&SocketAddr::new(ip.to_canonical(), target.port)))
    }
}

impl View {
    fn of(node: &Node, names: &BTreeSet<String>) -> View {
        let parsed = |ip: &String| ip.parse::<IpAddr>().ok();
        let addresses: BTreeMap<_, Vec<IpAddr>> = node
            .members
            .iter()
            .map(|member| (member.name.to_ascii_lowercase(), member.addresses.iter().filter_map(parsed).collect()))
            .collect();
        // The name in the set leads to the address that the route listens on, as by /etc/hosts.
        let leads_to = |listen: &SocketAddr| {
            names.iter().filter(|name| port(name) == Some(listen.port())).any(|name| {
                addresses.get(name).is_some_and(|ips| ips.iter().any(|ip| ip.to_canonical() == listen.ip()))
            })
        };
        let by_listener = node.ways.iter().filter(|(_, listen)| leads_to(listen)).map(|(target, _)| target);
        let is_named = |up: &&UpstreamStatus| up.me.as_ref().is_some_and(|me| names.contains(&me.to_ascii_lowercase()));
        let by_hello = node.outbound.iter().filter(is_named).map(|up| &up.upstream);
        // The names that verify the server at the end of a link: those of name= too.
        let is_verified = |link: &&LinkStatus| {
            let port = port(&link.destination);
            let name = |name: &String| format!("{}:{}", name.to_ascii_lowercase(), port.unwrap_or_default());
            link.names.iter().any(|one| names.contains(&name(one)))
        };
        let by_link = node.links.iter().filter(is_verified).map(|link| &link.destination);
        let aliases = by_listener.chain(by_hello).chain(by_link).map(|target| target.to_ascii_lowercase()).collect();
        View { aliases, addresses, outbound_only: node.is_outbound_only() }
    }

    /// The addresses of a name as resolved at the node, and as resolved here.
    fn resolve(&self, target: &HostPort, resolved: &Resolved) -> Vec<IpAddr> {
        let own = self.addresses.get(&target.to_string().to_ascii_lowercase()).cloned().unwrap_or_default();
        own.into_iter().chain(addresses(&target.host, resolved)).collect()
    }
}

/// The host names that must be looked up to know where the nodes are, and which servers they dial.
pub(super) fn names(nodes: &[Node], publics: &[Option<HostPort>], sights: &[Sight]) -> BTreeSet<String> {
    let me = nodes.iter().filter_map(Node::me).filter_map(|me| me.parse::<HostPort>().ok()).map(|me| me.host);
    let public = publics.iter().flatten().map(|public| public.host.clone());
    let admin = nodes.iter().filter_map(|node| admin_host(&node.name));
    let dialled = sights.iter().flat_map(|sight| &sight.connections).filter_map(dialled).map(|target| target.host);
    let all = me.chain(public).chain(admin).chain(dialled).map(|host| host.to_ascii_lowercase());
    all.filter(|host| host.parse::<IpAddr>().is_err()).collect()
}

/// Every peer that is no listed node. `now` in milliseconds since 1970.
pub(super) fn strangers(known: &Known, sights: &[Sight], resolved: &Resolved, now: i64) -> BTreeSet<Stranger> {
    let mut found = BTreeSet::new();
    for (node, sight) in sights.iter().enumerate() {
        // Beside an application, connections are the application's, to whatever servers it uses.
        if known.views.get(node).is_some_and(|view| view.outbound_only) {
            continue;
        }
        let came = sight.clients.iter().filter_map(|row| who_came(row, known, now));
        let unlisted = |target: &HostPort| !known.has(node, target, resolved);
        let dialled =
            sight.connections.iter().filter_map(dialled).filter(unlisted).map(|target| who_is_dialled(&target));
        found.extend(came.chain(dialled).map(|text| Stranger { node, text }));
    }
    found
}

/// Members of the nodes' sets that answer a node's probe and are no listed nodes.
pub(super) fn answering(nodes: &[Node], known: &Known, resolved: &Resolved) -> BTreeSet<Stranger> {
    let server = |node: &Node| node.server.as_ref().and_then(|server| server.set.clone());
    let sets: BTreeSet<_> = nodes.iter().filter_map(server).collect();
    let mut found = BTreeSet::new();
    for (node, one) in nodes.iter().enumerate() {
        for up in one.outbound.iter().filter(|up| up.up && up.set_name.as_ref().is_some_and(|set| sets.contains(set))) {
            let Ok(target) = up.upstream.parse::<HostPort>() else { continue };
            if !known.has(node, &target, resolved) {
                let name = up.me.as_deref().map(|me| format!(" ({})", printable(me))).unwrap_or_default();
                let text = format!("a live member at {target}{name}, which is not a listed node");
                found.insert(Stranger { node, text });
            }
        }
    }
    found
}

fn who_came(row: &ClientRow, known: &Known, now: i64) -> Option<String> {
    let ip = row.ip.parse::<IpAddr>().ok()?.to_canonical();
    let is_there = row.member && (row.open > 0 || is_recent(&row.last_seen, now));
    if !is_there || ip.is_loopback() || known.ips.contains(&ip) {
        return None;
    }
    let name = row.application.as_deref().or(row.driver.as_deref()).map(|name| format!(" ({})", printable(name)));
    let name = name.unwrap_or_default();
    Some(format!(
        "a mongod or mongos at {ip}{name} connects, and is not a listed node: give its tlsramp as --node; if {ip} is \
         another address of a listed one, name it there with --member NAME:PORT={ip}"
    ))
}

fn who_is_dialled(target: &HostPort) -> String {
    format!(
        "its server is connected to {target}, which is not a listed node (a hidden member?): give its tlsramp as --node; if \
         it is another name of a listed one, give its name in the set as name= of the outbound route"
    )
}

/// Where a server's own connection leads. Applications that use an outbound route too are not meant; a connection that
/// has not said what it is counts, since servers before 3.6 do not.
fn dialled(row: &ConnectionRow) -> Option<HostPort> {
    let is_server = row.member || (row.application.is_none() && row.driver.is_none());
    let target = row.route.strip_prefix("outbound ")?;
    let target = row.upstream.as_deref().unwrap_or(target).parse().ok()?;
    is_server.then_some(target)
}

fn admin_host(name: &str) -> Option<String> {
    // A Unix socket has none.
    name.parse::<AdminAddress>().ok()?;
    name.parse::<HostPort>().ok().map(|place| place.host)
}

fn addresses(host: &str, resolved: &Resolved) -> Vec<IpAddr> {
    host.parse().map_or_else(|_| resolved.get(&host.to_ascii_lowercase()).cloned().unwrap_or_default(), |ip| vec![ip])
}

fn port(name: &str) -> Option<u16> {
    name.parse::<HostPort>().ok().map(|name| name.port)
}

/// By clocks that differ little, which is taken for granted: a peer that is connected counts whatever they say.
fn is_recent(moment: &str, now: i64) -> bool {
    let Ok(seen) = bson::DateTime::parse_rfc3339_str(moment) else { return false };
    u128::from(now.abs_diff(seen.timestamp_millis())) < ROLLOUT_PEER.as_millis()
}

#[cfg(test)]
mod tests;
