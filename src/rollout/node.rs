//! The state of a node, from the status of its tlsramp. PURE.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::plan::{Position, Role};
use crate::control::views::{BypassStatus, CertificateStatus, LinkStatus, MemberStatus, Status, UpstreamStatus};
use crate::policy::{Mode, Spelling};
use crate::text::printable;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Its admin address, as it was given.
    pub(super) name: String,
    /// The mode in force.
    pub(super) mode: Mode,
    /// The generation of the snapshot in force.
    pub(super) generation: u64,
    /// The mode in its flags and file.
    pub(super) configured: Mode,
    /// How a restart would change the mode, if it would.
    pub(super) drift: Option<String>,
    /// The server behind its inbound route. `None`: it has no such route, as a proxy beside an application.
    pub(super) server: Option<NodeServer>,
    /// The servers of its outbound routes, with the results of its probes.
    pub(super) outbound: Vec<UpstreamStatus>,
    /// Its links to other servers, by its connections and probes.
    pub(super) links: Vec<LinkStatus>,
    /// The listeners of its outbound routes, each with the server that the route leads to.
    pub(super) outbound_listeners: Vec<(String, SocketAddr)>,
    /// The members of the set that it knows.
    pub(super) members: Vec<MemberStatus>,
    /// The addresses of its inbound listeners, wildcards excepted.
    pub(super) listens: Vec<IpAddr>,
    /// Connections that bypass it.
    pub(super) bypass: Vec<BypassStatus>,
    /// Whether its redirect rules are in force; `None`: it has none.
    pub(super) redirect: Option<bool>,
    pub(super) certificates: Vec<CertificateStatus>,
    /// Open connections of a kind that its mode would not make.
    pub(super) non_conforming: usize,
    /// The holder of the lease, and the seconds that are left.
    pub(super) lease: Option<(String, u64)>,
}

/// The server behind a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeServer {
    pub(super) up: bool,
    /// Why it is down, or a warning.
    pub(super) reason: Option<String>,
    pub(super) state: MemberState,
    pub(super) set: Option<String>,
    /// Its own name in the set.
    pub(super) me: Option<String>,
    /// The members that it names.
    pub(super) hosts: Vec<String>,
}

/// The role of a server in its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberState {
    Primary,
    Secondary,
    Arbiter,
    /// Another state of a member: starting, recovering or removed.
    Other,
    Standalone,
    Mongos,
    /// No server: the tlsramp has outbound routes only.
    Outbound,
    /// It was not probed yet, or did not answer as a MongoDB server.
    Unknown,
}

impl Node {
    /// # Errors
    /// A mode that does not exist.
    pub(super) fn of(name: &str, status: &Status) -> Result<Node, String> {
        let inbound = |route: &&UpstreamStatus| route.route == "inbound";
        Ok(Node {
            name: name.to_owned(),
            mode: mode(&status.ssl_mode)?,
            generation: status.generation,
            configured: mode(&status.configured_mode)?,
            drift: status.drift.clone(),
            server: status.upstreams.iter().find(inbound).map(NodeServer::of),
            outbound: status.upstreams.iter().filter(|route| !inbound(route)).cloned().collect(),
            links: status.links.clone(),
            outbound_listeners: outbound_listeners(status),
            members: status.members.clone(),
            bypass: status.bypass.clone(),
            redirect: status.redirect,
            certificates: status.certificates.clone(),
            listens: listens(status),
            non_conforming: status.connections.non_conforming,
            lease: status.lease.as_ref().map(|lease| (lease.holder.clone(), lease.seconds_left)),
        })
    }

    pub(super) fn state(&self) -> MemberState {
        self.server.as_ref().map_or(MemberState::Outbound, |server| server.state)
    }

    /// Whether it has no server of its own, as a proxy beside an application.
    pub(super) fn is_outbound_only(&self) -> bool {
        self.server.is_none()
    }

    /// Its own name in its set, in lower case.
    pub(super) fn me(&self) -> Option<String> {
        self.server.as_ref().and_then(|server| server.me.as_deref()).map(str::to_ascii_lowercase)
    }

    /// Its position on the ladder. `able`: whether it can take a step.
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

    /// Why it is unhealthy, if it is.
    pub(super) fn ailment(&self) -> Option<String> {
        let server = self.server.as_ref()?;
        if !server.up {
            let reason = server.reason.as_deref().unwrap_or("it was not probed yet (is --upstreamProbe off?)");
            return Some(format!("the server behind it is down: {}", printable(reason)));
        }
        match server.state {
            MemberState::Primary
            | MemberState::Secondary
            | MemberState::Arbiter
            | MemberState::Standalone
            | MemberState::Mongos
            | MemberState::Outbound => None,
            MemberState::Other => {
                Some("its member is neither PRIMARY, SECONDARY nor ARBITER: let it recover first".to_owned())
            }
            MemberState::Unknown => {
                Some("what its server is, the probe has not learnt (is --upstreamProbe off?)".to_owned())
            }
        }
    }
}

impl NodeServer {
    fn of(status: &UpstreamStatus) -> NodeServer {
        NodeServer {
            up: status.up,
            reason: status.reason.clone(),
            state: MemberState::of(status.state.as_deref()),
            set: status.set_name.clone(),
            me: status.me.clone(),
            hosts: status.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
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

    const fn name(self) -> &'static str {
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

/// A mode in either spelling.
pub(super) fn mode(text: &str) -> Result<Mode, String> {
    let [ssl, tls] = [Spelling::Ssl, Spelling::Tls];
    Mode::parse(text, ssl).or_else(|_| Mode::parse(text, tls)).map_err(|_| {
        format!("'{}' is no mode: expected one of {}; or {}", printable(text), ssl.expected(), tls.expected())
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
    use super::{MemberState, Node, NodeServer};
    use crate::control::views::{RouteStatus, Status, UpstreamStatus};
    use crate::policy::Mode;

    /// A healthy member `NAME:27017` of the set `rs` of these members, with its admin port at `NAME:28017`.
    pub(in crate::rollout) fn member(name: &str, state: MemberState, mode: Mode, members: &[&str]) -> Node {
        let server = NodeServer {
            up: true,
            reason: None,
            state,
            set: Some("rs".into()),
            me: Some(format!("{name}:27017")),
            hosts: members.iter().map(|member| format!("{member}:27017")).collect(),
        };
        Node {
            name: format!("{name}:28017"),
            mode,
            generation: 1,
            configured: mode,
            drift: None,
            server: Some(server),
            outbound: Vec::new(),
            links: Vec::new(),
            outbound_listeners: Vec::new(),
            members: Vec::new(),
            bypass: Vec::new(),
            redirect: None,
            certificates: Vec::new(),
            listens: Vec::new(),
            non_conforming: 0,
            lease: None,
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
        let node = Node::of("db1:28017", &status).unwrap();
        assert_eq!((node.mode, node.configured, node.state()), (Mode::Allow, Mode::Allow, MemberState::Secondary));
        assert_eq!((node.me().as_deref(), node.listens), (Some("db1:27017"), vec!["10.0.0.1".parse().unwrap()]));
        assert_eq!(node.outbound_listeners, [("db2:27017".to_owned(), "127.0.1.2:27017".parse().unwrap())]);
        assert_eq!(node.outbound, [UpstreamStatus::default()]);
        let beside_an_application = Status { upstreams: Vec::new(), ..status.clone() };
        let node = Node::of("app:28017", &beside_an_application).unwrap();
        assert_eq!((node.state(), node.is_outbound_only(), node.ailment()), (MemberState::Outbound, true, None));
        status.ssl_mode = "maybe".into();
        assert!(Node::of("db1:28017", &status).unwrap_err().contains("'maybe' is no mode"));
    }

    #[test]
    fn what_is_ill_says_why() {
        let mut node = member("a", MemberState::Primary, Mode::Allow, &["a"]);
        assert_eq!(node.ailment(), None);
        for (up, state, part) in [
            (false, MemberState::Primary, "is down: it was not probed yet"),
            (true, MemberState::Other, "let it recover"),
            (true, MemberState::Unknown, "has not learnt"),
        ] {
            node.server = node.server.map(|server| NodeServer { up, state, ..server });
            assert!(node.ailment().unwrap().contains(part), "{part}");
        }
    }
}
