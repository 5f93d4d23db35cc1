//! Tests that peers are told apart from listed nodes, by every name and address that a node may have.

use std::net::IpAddr;

use super::{ListedNodes, ObservedPeers, ResolvedHosts, answering, names, unlisted};
use crate::admin::replies::{ClientRow, ConnectionRow, LinkStatus, MemberStatus, UpstreamStatus};
use crate::policy::Mode;
use crate::rollout::node::tests::member;
use crate::rollout::node::{MemberState, Node};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Node `a` resolves the name of `b`; the name of `a` itself is resolved here.
fn two() -> (Vec<Node>, ResolvedHosts) {
    let mut nodes: Vec<_> =
        ["a", "b"].map(|name| member(name, MemberState::Secondary, Mode::Allow, &["a", "b"])).to_vec();
    let at = |name: &str, ip: &str| MemberStatus {
        name: name.into(),
        addresses: vec![ip.into()],
        ..MemberStatus::default()
    };
    nodes[0].status.members = vec![at("B:27017", "10.0.0.2"), at("hidden:27017", "10.0.0.9")];
    (nodes, ResolvedHosts::from([("a".into(), vec![ip("10.0.0.1")]), ("alias".into(), vec![ip("10.0.0.2")])]))
}

fn texts(client: Option<ClientRow>, connection: Option<ConnectionRow>) -> Vec<String> {
    let (nodes, resolved) = two();
    let known = ListedNodes::of(&nodes, &[None, None], &resolved);
    let observed =
        ObservedPeers { clients: client.into_iter().collect(), connections: connection.into_iter().collect() };
    let found = unlisted(&known, &[ObservedPeers::default(), observed], &resolved, 1_700_000_000_000);
    found.into_iter().map(|one| one.text).inspect(|text| assert!(!text.is_empty())).collect()
}

#[test]
fn unlisted_clients_are_named() {
    let row = |ip: &str, member, open, last_seen: &str| ClientRow {
        ip: ip.into(),
        member,
        open,
        last_seen: last_seen.into(),
        driver: Some("NetworkInterfaceTL".into()),
        ..ClientRow::default()
    };
    let (now, before) = ("2023-11-14T22:13:00Z", "2023-11-14T22:00:00Z");
    for (row, expected) in [
        (row("10.0.0.9", true, 1, before), true),
        (row("10.0.0.9", true, 0, now), true),
        (row("10.0.0.9", true, 0, before), false),
        (row("10.0.0.9", false, 1, now), false),
        (row("10.0.0.1", true, 1, now), false),
        (row("::ffff:10.0.0.2", true, 1, now), false),
        (row("127.0.0.1", true, 1, now), false),
    ] {
        let texts = texts(Some(row.clone()), None);
        assert_eq!(!texts.is_empty(), expected, "{row:?}");
        assert!(texts.iter().all(|text| text.contains("10.0.0.9 (NetworkInterfaceTL) is connected")), "{texts:?}");
    }
}

#[test]
fn unlisted_servers_are_named() {
    let row = |route: &str, upstream: Option<&str>, member| ConnectionRow {
        route: route.into(),
        upstream: upstream.map(Into::into),
        member,
        ..ConnectionRow::default()
    };
    let application = ConnectionRow { driver: Some("PyMongo".into()), ..row("outbound c:27017", None, false) };
    for (row, expected) in [
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
        assert_eq!(texts.is_empty(), expected.is_none(), "{row:?}");
        assert!(texts.iter().all(|text| text.contains(&format!("connected to {},", expected.unwrap()))), "{texts:?}");
    }
}

#[test]
fn only_names_are_looked_up() {
    let (nodes, _) = two();
    let row = ConnectionRow { route: "outbound C:1".into(), member: true, ..ConnectionRow::default() };
    let observed = ObservedPeers { clients: Vec::new(), connections: vec![row] };
    let public = Some("10.1.1.1:5".parse().unwrap());
    let found = names(&nodes, &[public, None], &[observed]);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
}

fn at(name: &str, ip: &str) -> MemberStatus {
    MemberStatus { name: name.into(), addresses: vec![ip.into()], ..MemberStatus::default() }
}

/// Three nodes whose admin ports are Unix sockets, which give no name or address; `m1` dials the others.
fn by_unix_sockets(change: impl FnOnce(&mut Node)) -> Vec<Node> {
    let names = ["m1", "m2", "m3"];
    let node = |name: &&str| Node {
        name: format!("unix:/run/{name}.sock"),
        ..member(name, MemberState::Secondary, Mode::Allow, &names)
    };
    let mut nodes: Vec<_> = names.iter().map(node).collect();
    change(&mut nodes[0]);
    nodes
}

fn dials(route: &str, upstream: &str) -> ObservedPeers {
    let row = ConnectionRow {
        route: format!("outbound {route}"),
        upstream: Some(upstream.into()),
        member: true,
        ..ConnectionRow::default()
    };
    ObservedPeers { connections: vec![row], ..ObservedPeers::default() }
}

#[test]
fn a_node_is_known_by_each_of_its_names() {
    // Each row: the reason why n2 is recognised as m2, a change of the first node, and a change of the second.
    type Change = Box<dyn Fn(&mut Node)>;
    let none = || -> Change { Box::new(|_: &mut Node| {}) };
    let first = |change: fn(&mut Node)| -> (Change, Change) { (Box::new(change), none()) };
    let second = |change: fn(&mut Node)| -> (Change, Change) { (Box::new(|_| {}), Box::new(change)) };
    let rows: [(&str, (Change, Change), &str, bool); 8] = [
        ("nothing", (none(), none()), "n2:27017", false),
        (
            "what both names resolve to on the node that dials",
            first(|node| node.status.members = vec![at("m2:27017", "10.77.0.2"), at("n2:27017", "10.77.0.2")]),
            "n2:27017",
            true,
        ),
        (
            "another port of that address",
            first(|node| node.status.members = vec![at("m2:27017", "10.77.0.2"), at("n2:27018", "10.77.0.2")]),
            "n2:27018",
            false,
        ),
        (
            "the address that the other node listens on",
            second(|node| node.listens = vec![ip("10.77.0.2")]),
            "10.77.0.2:27017",
            true,
        ),
        (
            "what the server there calls itself",
            first(|node| {
                node.outbound = vec![UpstreamStatus {
                    upstream: "n2:27017".into(),
                    me: Some("M2:27017".into()),
                    ..UpstreamStatus::default()
                }];
            }),
            "n2:27017",
            true,
        ),
        (
            "a route on the address that the name in the set leads to",
            first(|node| {
                node.status.members = vec![at("m2:27017", "127.0.1.2")];
                node.outbound_listeners = vec![("n2:27017".into(), "127.0.1.2:27017".parse().unwrap())];
            }),
            "n2:27017",
            true,
        ),
        (
            "name= of the route",
            first(|node| {
                node.status.links = vec![LinkStatus {
                    destination: "n2:27017".into(),
                    names: vec!["M2".into()],
                    ..LinkStatus::default()
                }];
            }),
            "n2:27017",
            true,
        ),
        (
            "name= of the route, which the node's members have with the address that is dialled",
            first(|node| node.status.members = vec![at("m2:27017", "10.77.0.2")]),
            "10.77.0.2:27017",
            true,
        ),
    ];
    for (what, (change, other), target, listed) in rows {
        let mut nodes = by_unix_sockets(change);
        other(&mut nodes[1]);
        let known = ListedNodes::of(&nodes, &[None, None, None], &ResolvedHosts::new());
        let observed_peers = [dials(target, target), ObservedPeers::default(), ObservedPeers::default()];
        let found = unlisted(&known, &observed_peers, &ResolvedHosts::new(), 0);
        assert_eq!(found.is_empty(), listed, "{what}: {found:?}");
    }
}

#[test]
fn addresses_behind_another_name_are_the_nodes_too() {
    let nodes = by_unix_sockets(|node| {
        node.status.members = vec![at("m2:27017", "127.0.1.2")];
        node.outbound_listeners = vec![("10.77.0.2:27017".into(), "127.0.1.2:27017".parse().unwrap())];
    });
    let known = ListedNodes::of(&nodes, &[None, None, None], &ResolvedHosts::new());
    let row = ClientRow { ip: "10.77.0.2".into(), member: true, open: 1, ..ClientRow::default() };
    let observed_peers = [ObservedPeers { clients: vec![row], ..ObservedPeers::default() }];
    assert!(unlisted(&known, &observed_peers, &ResolvedHosts::new(), 0).is_empty());
}

#[test]
fn servers_of_an_application_are_not_reported() {
    let mut nodes = by_unix_sockets(|_| {});
    nodes[0].server = None;
    let known = ListedNodes::of(&nodes, &[None, None, None], &ResolvedHosts::new());
    let observed_peers = [dials("other:27017", "other:27017"), ObservedPeers::default(), ObservedPeers::default()];
    assert!(unlisted(&known, &observed_peers, &ResolvedHosts::new(), 0).is_empty());
}

#[test]
fn live_unlisted_members_are_distinguished_from_dead_ones() {
    let upstream = |target: &str, up, set: Option<&str>| UpstreamStatus {
        upstream: target.into(),
        up,
        set_name: set.map(Into::into),
        ..UpstreamStatus::default()
    };
    for (up, live) in [
        (upstream("m4:27017", true, Some("rs")), true),
        (upstream("m4:27017", false, Some("rs")), false),
        (upstream("m2:27017", true, Some("rs")), false),
        (upstream("other:27017", true, Some("another")), false),
        (upstream("other:27017", true, None), false),
    ] {
        let nodes = by_unix_sockets(|node| node.outbound = vec![up.clone()]);
        let known = ListedNodes::of(&nodes, &[None, None, None], &ResolvedHosts::new());
        let found = answering(&nodes, &known, &ResolvedHosts::new());
        assert_eq!(!found.is_empty(), live, "{up:?}: {found:?}");
        assert!(found.iter().all(|one| one.node == 0 && one.text.contains("m4:27017")), "{found:?}");
    }
}
