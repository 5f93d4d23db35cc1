//! The state of a node, from its tlsramp's status reply. PURE.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::plan::{Position, Role};
use crate::admin::replies::{Status, UpstreamStatus};
use crate::policy::{Mode, Spelling};
use crate::text::printable;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// The node's admin address, as written on the command line.
    pub(super) name: String,
    /// The mode in force.
    pub(super) mode: Mode,
    /// The mode in the node's flags and file.
    pub(super) configured: Mode,
    /// The server of the node's inbound route; `None` without such a route, as for a proxy beside an application.
    pub(super) server: Option<UpstreamStatus>,
    /// The servers of the node's outbound routes, with the results of its probes.
    pub(super) outbound: Vec<UpstreamStatus>,
    /// The listeners of the node's outbound routes, each with the server that the route leads to.
    pub(super) outbound_listeners: Vec<(String, SocketAddr)>,
    /// The addresses of the node's inbound listeners, except wildcards.
    pub(super) listens: Vec<IpAddr>,
    pub(super) status: Status,
}

/// The role of a server in its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberState {
    Primary,
    Secondary,
    Arbiter,
    /// Another state of a member, such as starting, recovering or removed.
    Other,
    Standalone,
    Mongos,
    /// No server: the tlsramp has outbound routes only.
    Outbound,
    /// The server was not probed yet, or did not answer as a MongoDB server.
    Unknown,
}

impl Node {
    /// # Errors
    /// An unknown mode.
    pub(super) fn of(name: &str, status: Status) -> Result<Node, String> {
        let (inbound, outbound): (Vec<_>, _) =
            status.upstreams.iter().cloned().partition(|upstream| upstream.route == "inbound");
        Ok(Node {
            name: name.to_owned(),
            mode: mode(&status.ssl_mode)?,
            configured: mode(&status.configured_mode)?,
            server: inbound.into_iter().next(),
            outbound,
            outbound_listeners: outbound_listeners(&status),
            listens: listens(&status),
            status,
        })
    }

    pub(super) fn state(&self) -> MemberState {
        self.server.as_ref().map_or(MemberState::Outbound, |server| MemberState::of(server.state.as_deref()))
    }

    /// Whether the node has no server of its own, such as a proxy beside an application.
    pub(super) fn is_outbound_only(&self) -> bool {
        self.server.is_none()
    }

    /// The server's own name in its set, in lower case.
    pub(super) fn me(&self) -> Option<String> {
        self.server.as_ref().and_then(|server| server.me.as_deref()).map(str::to_ascii_lowercase)
    }

    /// The node's position on the ladder. `able`: whether the node can take a step.
    pub(super) fn position(&self, able: bool) -> Position {
        let role = match self.state() {
            MemberState::Primary => Role::Primary,
            MemberState::Outbound => Role::Outbound,
            MemberState::Secondary
            | MemberState::Arbiter
            | MemberState::Other
            | MemberState::Standalone
            | MemberState::Mongos
            | MemberState::Unknown => Role::Other,
        };
        Position { mode: self.mode, role, able }
    }

    /// The reason why the node is unhealthy; `None` if it is healthy.
    pub(super) fn ailment(&self) -> Option<String> {
        let server = self.server.as_ref()?;
        if !server.up {
            return Some(match &server.reason {
                Some(reason) => format!("the server behind it is down: {}", printable(reason)),
                None => "the server behind it was not probed yet (is --upstreamProbe off?)".to_owned(),
            });
        }
        match self.state() {
            MemberState::Primary
            | MemberState::Secondary
            | MemberState::Arbiter
            | MemberState::Standalone
            | MemberState::Mongos
            | MemberState::Outbound => None,
            MemberState::Other => {
                Some("its server is neither PRIMARY, SECONDARY nor ARBITER: wait until it has recovered".to_owned())
            }
            MemberState::Unknown => Some(
                "the state of its server is unknown: it has not answered the probe's hello as a MongoDB server does"
                    .to_owned(),
            ),
        }
    }
}

impl MemberState {
    fn of(name: Option<&str>) -> MemberState {
        let known = [
            MemberState::Primary,
            MemberState::Secondary,
            MemberState::Arbiter,
            MemberState::Other,
            MemberState::Standalone,
            MemberState::Mongos,
        ];
        known.into_iter().find(|state| Some(state.name()) == name).unwrap_or(MemberState::Unknown)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            MemberState::Primary => "PRIMARY",
            MemberState::Secondary => "SECONDARY",
            MemberState::Arbiter => "ARBITER",
            MemberState::Other => "OTHER",
            MemberState::Standalone => "STANDALONE",
            MemberState::Mongos => "MONGOS",
            MemberState::Outbound => "OUTBOUND",
            MemberState::Unknown => "UNKNOWN",
        }
    }
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The positions of nodes that are all able to take a step.
pub(super) fn positions(nodes: &[Node]) -> Vec<Position> {
    nodes.iter().map(|node| node.position(true)).collect()
}

/// Parses a mode in either spelling.
pub(super) fn mode(text: &str) -> Result<Mode, String> {
    let [ssl, tls] = [Spelling::Ssl, Spelling::Tls];
    Mode::parse(text, ssl).or_else(|_| Mode::parse(text, tls)).map_err(|_| {
        format!("unknown mode '{}': expected one of {}; or {}", printable(text), ssl.expected(), tls.expected())
    })
}

fn listens(status: &Status) -> Vec<IpAddr> {
    let inbound = status.routes.iter().filter(|route| route.name == "inbound").flat_map(|route| &route.listen);
    let addresses = inbound.filter_map(|address| address.parse::<SocketAddr>().ok()).map(|address| address.ip());
    addresses.filter(|ip| !ip.is_unspecified()).collect()
}

fn outbound_listeners(status: &Status) -> Vec<(String, SocketAddr)> {
    let outbound =
        status.routes.iter().filter_map(|route| Some((route.name.strip_prefix("outbound ")?, &route.listen)));
    let listens = outbound.flat_map(|(target, listen)| listen.iter().map(move |address| (target, address)));
    listens.filter_map(|(target, address)| Some((target.to_owned(), address.parse().ok()?))).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::{MemberState, Node};
    use crate::admin::replies::{RouteStatus, Status, UpstreamStatus};
    use crate::policy::Mode;

    /// A healthy member `NAME:27017` of the set `rs` of these members, with its admin port at `NAME:28017`.
    pub(in crate::rollout) fn member(name: &str, state: MemberState, mode: Mode, members: &[&str]) -> Node {
        let server = UpstreamStatus {
            up: true,
            state: Some(state.name().into()),
            set_name: Some("rs".into()),
            me: Some(format!("{name}:27017")),
            hosts: members.iter().map(|member| format!("{member}:27017")).collect(),
            ..UpstreamStatus::default()
        };
        Node {
            name: format!("{name}:28017"),
            mode,
            configured: mode,
            server: Some(server),
            outbound: Vec::new(),
            outbound_listeners: Vec::new(),
            listens: Vec::new(),
            status: Status::default(),
        }
    }

    #[test]
    fn a_status_is_read_or_refused() {
        let upstream = UpstreamStatus {
            route: "inbound".into(),
            up: true,
            state: Some("SECONDARY".into()),
            me: Some("DB1:27017".into()),
            hosts: vec!["DB1:27017".into()],
            ..UpstreamStatus::default()
        };
        let listen = vec!["0.0.0.0:27017".into(), "10.0.0.1:27017".into()];
        let mut status = Status {
            ssl_mode: "allowSSL".into(),
            configured_mode: "allowTLS".into(),
            upstreams: vec![UpstreamStatus::default(), upstream],
            routes: vec![
                RouteStatus { name: "inbound".into(), listen },
                RouteStatus { name: "outbound db2:27017".into(), listen: vec!["127.0.1.2:27017".into()] },
            ],
            ..Status::default()
        };
        let node = Node::of("db1:28017", status.clone()).unwrap();
        assert_eq!((node.mode, node.configured, node.state()), (Mode::Allow, Mode::Allow, MemberState::Secondary));
        assert_eq!((node.me().as_deref(), node.listens), (Some("db1:27017"), vec!["10.0.0.1".parse().unwrap()]));
        assert_eq!(node.outbound_listeners, [("db2:27017".to_owned(), "127.0.1.2:27017".parse().unwrap())]);
        assert_eq!(node.outbound, [UpstreamStatus::default()]);
        let beside_an_application = Status { upstreams: Vec::new(), ..status.clone() };
        let node = Node::of("app:28017", beside_an_application).unwrap();
        assert_eq!((node.state(), node.is_outbound_only(), node.ailment()), (MemberState::Outbound, true, None));
        status.ssl_mode = "maybe".into();
        assert!(Node::of("db1:28017", status.clone()).unwrap_err().contains("unknown mode 'maybe'"));
    }

    #[test]
    fn an_unhealthy_node_has_a_reason() {
        let mut node = member("a", MemberState::Primary, Mode::Allow, &["a"]);
        assert_eq!(node.ailment(), None);
        for (up, state, part) in [
            (false, MemberState::Primary, "the server behind it was not probed yet"),
            (true, MemberState::Other, "wait until it has recovered"),
            (true, MemberState::Unknown, "is unknown"),
        ] {
            node.server = node.server.map(|server| UpstreamStatus { up, state: Some(state.name().into()), ..server });
            assert!(node.ailment().unwrap().contains(part), "{part}");
        }
    }
}
