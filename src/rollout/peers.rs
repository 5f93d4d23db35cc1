//! Peers that are mongod or mongos and no listed node: seen by the nodes, named before anything is changed. PURE.
//!
//! A member that hellos do not name, as a hidden one, dials the others and is dialled by them all the same; it would be
//! cut off by `requireSSL`, or sooner. Listing its tlsramp as a node is the remedy, there is no other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::node::Node;
use crate::admin_client::AdminAddress;
use crate::control::views::{ClientRow, ConnectionRow};
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
    /// Their names, in lower case.
    names: BTreeSet<String>,
    ips: BTreeSet<IpAddr>,
    endpoints: BTreeSet<SocketAddr>,
}

/// A peer that is no listed node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stranger {
    /// Who sees it, by its place in the list.
    pub(super) node: usize,
    pub(super) text: String,
}

/// Addresses of host names, as far as they were looked up.
pub(super) type Resolved = BTreeMap<String, Vec<IpAddr>>;

impl Known {
    /// Gathers every address of the nodes: by their names, as any of them resolves these; where they listen; where
    /// their admin ports are; where they are looked at from outside.
    pub(super) fn of(nodes: &[Node], publics: &[Option<HostPort>], resolved: &Resolved) -> Known {
        let mut known = Known::default();
        for (node, public) in nodes.iter().zip(publics) {
            let me = node.me();
            let name = me.as_deref().and_then(|me| me.parse::<HostPort>().ok());
            let members = nodes.iter().flat_map(|one| &one.members);
            let own = members.filter(|member| Some(member.name.to_ascii_lowercase()) == me);
            let mut ips: BTreeSet<_> =
                own.flat_map(|member| &member.addresses).filter_map(|ip| ip.parse().ok()).collect();
            for place in name.iter().chain(public) {
                ips.extend(addresses(&place.host, resolved));
            }
            ips.extend(&node.listens);
            for place in name.iter().chain(public) {
                known.endpoints.extend(ips.iter().map(|ip: &IpAddr| SocketAddr::new(ip.to_canonical(), place.port)));
            }
            ips.extend(admin_host(&node.name).iter().flat_map(|host| addresses(host, resolved)));
            known.ips.extend(ips.iter().map(IpAddr::to_canonical));
            known.names.extend(me);
        }
        known
    }

    /// Whether an address is one of a node's.
    pub(super) fn has_ip(&self, ip: &str) -> bool {
        ip.parse::<IpAddr>().is_ok_and(|ip| self.ips.contains(&ip.to_canonical()))
    }

    fn has_name(&self, target: &HostPort, resolved: &Resolved) -> bool {
        let by_address = || addresses(&target.host, resolved).into_iter();
        self.names.contains(&target.to_string().to_ascii_lowercase())
            || by_address().any(|ip| self.endpoints.contains(&SocketAddr::new(ip.to_canonical(), target.port)))
    }
}

/// The host names that must be looked up to know where the nodes are, and whom they dial.
pub(super) fn names(nodes: &[Node], publics: &[Option<HostPort>], sights: &[Sight]) -> BTreeSet<String> {
    let me = nodes.iter().filter_map(Node::me).filter_map(|me| me.parse::<HostPort>().ok()).map(|me| me.host);
    let public = publics.iter().flatten().map(|public| public.host.clone());
    let admin = nodes.iter().filter_map(|node| admin_host(&node.name));
    let dialled = sights.iter().flat_map(|sight| &sight.connections).filter_map(dialled).map(|target| target.host);
    let all = me.chain(public).chain(admin).chain(dialled).map(|host| host.to_ascii_lowercase());
    all.filter(|host| host.parse::<IpAddr>().is_err()).collect()
}

/// Everyone who is no listed node. `now` in milliseconds since 1970.
pub(super) fn strangers(known: &Known, sights: &[Sight], resolved: &Resolved, now: i64) -> BTreeSet<Stranger> {
    let mut found = BTreeSet::new();
    for (node, sight) in sights.iter().enumerate() {
        let came = sight.clients.iter().filter_map(|row| who_came(row, known, now));
        let dialled = sight.connections.iter().filter_map(|row| who_is_dialled(row, known, resolved));
        found.extend(came.chain(dialled).map(|text| Stranger { node, text }));
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

fn who_is_dialled(row: &ConnectionRow, known: &Known, resolved: &Resolved) -> Option<String> {
    let target = dialled(row).filter(|target| !known.has_name(target, resolved))?;
    Some(format!(
        "its server is connected to {target}, which is not a listed node (a hidden member?): give its tlsramp as --node"
    ))
}

/// Whom a server's own connection leads to. Applications that use an outbound route too are not meant; who has not said
/// who it is, as a server before 3.6, is.
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

/// By clocks that differ little, which is taken for granted: whoever is connected counts whatever they say.
fn is_recent(moment: &str, now: i64) -> bool {
    let Ok(seen) = bson::DateTime::parse_rfc3339_str(moment) else { return false };
    u128::from(now.abs_diff(seen.timestamp_millis())) < ROLLOUT_PEER.as_millis()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Known, Resolved, Sight, names, strangers};
    use crate::control::views::{ClientRow, ConnectionRow, MemberStatus};
    use crate::policy::Mode;
    use crate::rollout::node::tests::member;
    use crate::rollout::node::{Node, State};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// `a` tells where `b` is; `a` itself is looked up.
    fn two() -> (Vec<Node>, Resolved) {
        let mut nodes: Vec<_> =
            ["a", "b"].map(|name| member(name, State::Secondary, Mode::Allow, &["a", "b"])).to_vec();
        let at = |name: &str, ip: &str| MemberStatus {
            name: name.into(),
            addresses: vec![ip.into()],
            ..MemberStatus::default()
        };
        nodes[0].members = vec![at("B:27017", "10.0.0.2"), at("hidden:27017", "10.0.0.9")];
        (nodes, Resolved::from([("a".into(), vec![ip("10.0.0.1")]), ("alias".into(), vec![ip("10.0.0.2")])]))
    }

    fn texts(client: Option<ClientRow>, connection: Option<ConnectionRow>) -> Vec<String> {
        let (nodes, resolved) = two();
        let known = Known::of(&nodes, &[None, None], &resolved);
        let sight = Sight { clients: client.into_iter().collect(), connections: connection.into_iter().collect() };
        let found = strangers(&known, &[Sight::default(), sight], &resolved, 1_700_000_000_000);
        found.into_iter().map(|one| one.text).inspect(|text| assert!(!text.is_empty())).collect()
    }

    #[test]
    fn who_comes_and_is_not_listed_is_named() {
        let row = |ip: &str, member, open, last_seen: &str| ClientRow {
            ip: ip.into(),
            member,
            open,
            last_seen: last_seen.into(),
            driver: Some("NetworkInterfaceTL".into()),
            ..ClientRow::default()
        };
        let (now, before) = ("2023-11-14T22:13:00Z", "2023-11-14T22:00:00Z");
        for (row, stranger) in [
            (row("10.0.0.9", true, 1, before), true),
            (row("10.0.0.9", true, 0, now), true),
            (row("10.0.0.9", true, 0, before), false),
            (row("10.0.0.9", false, 1, now), false),
            (row("10.0.0.1", true, 1, now), false),
            (row("::ffff:10.0.0.2", true, 1, now), false),
            (row("127.0.0.1", true, 1, now), false),
        ] {
            let texts = texts(Some(row.clone()), None);
            assert_eq!(!texts.is_empty(), stranger, "{row:?}");
            assert!(texts.iter().all(|text| text.contains("10.0.0.9 (NetworkInterfaceTL) connects")), "{texts:?}");
        }
    }

    #[test]
    fn who_is_dialled_and_is_not_listed_is_named() {
        let row = |route: &str, upstream: Option<&str>, member| ConnectionRow {
            route: route.into(),
            upstream: upstream.map(Into::into),
            member,
            ..ConnectionRow::default()
        };
        let application = ConnectionRow { driver: Some("PyMongo".into()), ..row("outbound c:27017", None, false) };
        for (row, stranger) in [
            (row("outbound hidden:27017", Some("hidden:27017"), true), Some("hidden:27017")),
            (row("outbound hidden:27017", None, false), Some("hidden:27017")),
            (row("outbound transparent", Some("10.0.0.9:27017"), true), Some("10.0.0.9:27017")),
            (row("outbound transparent", Some("10.0.0.2:1"), true), Some("10.0.0.2:1")),
            (row("outbound transparent", Some("10.0.0.2:27017"), true), None),
            (row("outbound A:27017", Some("A:27017"), true), None),
            (row("outbound alias:27017", Some("alias:27017"), true), None),
            (row("inbound", Some("elsewhere:1"), true), None),
            (application, None),
        ] {
            let texts = texts(None, Some(row.clone()));
            assert_eq!(texts.is_empty(), stranger.is_none(), "{row:?}");
            assert!(
                texts.iter().all(|text| text.contains(&format!("connected to {},", stranger.unwrap()))),
                "{texts:?}"
            );
        }
    }

    #[test]
    fn what_has_to_be_looked_up_are_names() {
        let (nodes, _) = two();
        let row = ConnectionRow { route: "outbound C:1".into(), member: true, ..ConnectionRow::default() };
        let sight = Sight { clients: Vec::new(), connections: vec![row] };
        let public = Some("10.1.1.1:5".parse().unwrap());
        let found = names(&nodes, &[public, None], &[sight]);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
