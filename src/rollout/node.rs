//! A node as its tlsramp tells of it, as far as a rollout needs that. PURE.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::control::views::{BypassStatus, CertificateStatus, LinkStatus, MemberStatus, Status, UpstreamStatus};
use crate::policy::{Mode, Spelling};
use crate::text::printable;

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Its admin address, as it was given.
    pub(super) name: String,
    /// The mode in force.
    pub(super) mode: Mode,
    /// The snapshot that has it.
    pub(super) generation: u64,
    /// The mode that its flags and file name.
    pub(super) configured: Mode,
    /// What a restart would do to the mode, where that is anything.
    pub(super) drift: Option<String>,
    /// The server behind its inbound route. `None`: there is no such route, and it only leads others to servers, as
    /// beside an application.
    pub(super) server: Option<Server>,
    /// The servers that its outbound routes lead to, as it probes them.
    pub(super) outbound: Vec<UpstreamStatus>,
    /// Its links to other servers, as its connections and probes have found them.
    pub(super) links: Vec<LinkStatus>,
    /// Where its outbound routes listen, by the server that each leads to.
    pub(super) ways: Vec<(String, SocketAddr)>,
    /// The set's members, as it knows them.
    pub(super) members: Vec<MemberStatus>,
    /// The addresses that it listens on for others.
    pub(super) listens: Vec<IpAddr>,
    /// Connections that go around it.
    pub(super) bypass: Vec<BypassStatus>,
    /// Whether its redirect rules are in force; `None`: there never were any.
    pub(super) redirect: Option<bool>,
    pub(super) certificates: Vec<CertificateStatus>,
    /// Connections that its mode would not make today.
    pub(super) non_conforming: usize,
    /// Who keeps other writers out, and for how many seconds still.
    pub(super) lease: Option<(String, u64)>,
}

/// The server behind a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) up: bool,
    /// Why it is not, or what is odd.
    pub(super) reason: Option<String>,
    pub(super) state: State,
    pub(super) set: Option<String>,
    /// Its own name in the set.
    pub(super) me: Option<String>,
    /// The members that it names.
    pub(super) hosts: Vec<String>,
}

/// What a server is in its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Primary,
    Secondary,
    Arbiter,
    /// In a set, and none of these: it starts, recovers, or was removed.
    Other,
    Standalone,
    Mongos,
    /// No server at all: its tlsramp only has outbound routes.
    Outbound,
    /// It was not asked yet, or has not answered as MongoDB does.
    Unknown,
}

impl Node {
    /// Reads a status.
    ///
    /// # Errors
    /// A mode that is none, in words.
    pub(super) fn of(name: &str, status: &Status) -> Result<Node, String> {
        let inbound = |route: &&UpstreamStatus| route.route == "inbound";
        Ok(Node {
            name: name.to_owned(),
            mode: mode(&status.ssl_mode)?,
            generation: status.generation,
            configured: mode(&status.configured_mode)?,
            drift: status.drift.clone(),
            server: status.upstreams.iter().find(inbound).map(Server::of),
            outbound: status.upstreams.iter().filter(|route| !inbound(route)).cloned().collect(),
            links: status.links.clone(),
            ways: ways(status),
            members: status.members.clone(),
            bypass: status.bypass.clone(),
            redirect: status.redirect,
            certificates: status.certificates.clone(),
            listens: listens(status),
            non_conforming: status.connections.non_conforming,
            lease: status.lease.as_ref().map(|lease| (lease.holder.clone(), lease.seconds_left)),
        })
    }

    /// What it is in its set.
    pub(super) fn state(&self) -> State {
        self.server.as_ref().map_or(State::Outbound, |server| server.state)
    }

    /// Whether it is a proxy without a server of its own, as beside an application.
    pub(super) fn is_outbound_only(&self) -> bool {
        self.server.is_none()
    }

    /// Its own name in its set, without regard to case.
    pub(super) fn me(&self) -> Option<String> {
        self.server.as_ref().and_then(|server| server.me.as_deref()).map(str::to_ascii_lowercase)
    }

    /// What keeps it from being counted on, if anything does.
    pub(super) fn ailment(&self) -> Option<String> {
        let server = self.server.as_ref()?;
        if !server.up {
            let reason = server.reason.as_deref().unwrap_or("it was not probed yet (is --upstreamProbe off?)");
            return Some(format!("the server behind it is down: {}", printable(reason)));
        }
        match server.state {
            State::Primary
            | State::Secondary
            | State::Arbiter
            | State::Standalone
            | State::Mongos
            | State::Outbound => None,
            State::Other => {
                Some("its member is neither PRIMARY, SECONDARY nor ARBITER: let it recover first".to_owned())
            }
            State::Unknown => Some("what its server is, the probe has not learnt (is --upstreamProbe off?)".to_owned()),
        }
    }
}

impl Server {
    fn of(status: &UpstreamStatus) -> Server {
        Server {
            up: status.up,
            reason: status.reason.clone(),
            state: State::of(status.state.as_deref()),
            set: status.set_name.clone(),
            me: status.me.clone(),
            hosts: status.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        }
    }
}

impl State {
    fn of(name: Option<&str>) -> State {
        let known = [State::Primary, State::Secondary, State::Arbiter, State::Other, State::Standalone, State::Mongos];
        known.into_iter().find(|state| Some(state.name()) == name).unwrap_or(State::Unknown)
    }

    const fn name(self) -> &'static str {
        match self {
            State::Primary => "PRIMARY",
            State::Secondary => "SECONDARY",
            State::Arbiter => "ARBITER",
            State::Other => "OTHER",
            State::Standalone => "STANDALONE",
            State::Mongos => "MONGOS",
            State::Outbound => "OUTBOUND",
            State::Unknown => "UNKNOWN",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A mode in either spelling.
///
/// # Errors
/// That it is none, with what was expected.
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

fn ways(status: &Status) -> Vec<(String, SocketAddr)> {
    let outbound =
        status.routes.iter().filter_map(|route| Some((route.name.strip_prefix("outbound ")?, &route.listen)));
    let listens = outbound.flat_map(|(target, listen)| listen.iter().map(move |address| (target, address)));
    listens.filter_map(|(target, address)| Some((target.to_owned(), address.parse().ok()?))).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Node, Server, State};
    use crate::control::views::{RouteStatus, Status, UpstreamStatus};
    use crate::policy::Mode;

    /// A healthy member `NAME:27017` of the set `rs` of these members, with its admin port at `NAME:28017`.
    pub(in crate::rollout) fn member(name: &str, state: State, mode: Mode, members: &[&str]) -> Node {
        let server = Server {
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
            ways: Vec::new(),
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
        assert_eq!((node.mode, node.configured, node.state()), (Mode::Allow, Mode::Allow, State::Secondary));
        assert_eq!((node.me().as_deref(), node.listens), (Some("db1:27017"), vec!["10.0.0.1".parse().unwrap()]));
        assert_eq!(node.ways, [("db2:27017".to_owned(), "127.0.1.2:27017".parse().unwrap())]);
        assert_eq!(node.outbound, [UpstreamStatus::default()]);
        let beside_an_application = Status { upstreams: Vec::new(), ..status.clone() };
        let node = Node::of("app:28017", &beside_an_application).unwrap();
        assert_eq!((node.state(), node.is_outbound_only(), node.ailment()), (State::Outbound, true, None));
        status.ssl_mode = "maybe".into();
        assert!(Node::of("db1:28017", &status).unwrap_err().contains("'maybe' is no mode"));
    }

    #[test]
    fn what_is_ill_says_why() {
        let mut node = member("a", State::Primary, Mode::Allow, &["a"]);
        assert_eq!(node.ailment(), None);
        for (up, state, part) in [
            (false, State::Primary, "is down: it was not probed yet"),
            (true, State::Other, "let it recover"),
            (true, State::Unknown, "has not learnt"),
        ] {
            node.server = node.server.map(|server| Server { up, state, ..server });
            assert!(node.ailment().unwrap().contains(part), "{part}");
        }
    }
}
