//! A replica set whose members use names for each other, with a sidecar on each host.

use std::{
    thread,
    time::{Duration, Instant},
};

use bson::{Document, doc};
use serde_json::Value;

use super::{
    App, Captures, Host, Kind, Rollout, host::Names, identities::Identities, network::Network, outside, server::Server,
    sidecar::Sidecar,
};
use crate::support::{Scratch, parts, parts::Release, turn::Turn};

/// How connections are led through the sidecars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// mongod listens on loopback, and tlsramp on the host's address with the same port. Each member's name, including
    /// a member's own, resolves to a loopback address with an outbound route.
    Explicit,
    /// mongod keeps its address and names are real; the kernel redirects connections. The set exists before its
    /// sidecars, see [`Set::adopt`].
    Transparent,
}

/// The description of a set to create.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) variant: Variant,
    /// The release of every mongod.
    pub(crate) release: Release,
    /// Number of members at first.
    pub(crate) members: u8,
    /// Number of further hosts without a member at first.
    pub(crate) spare: u8,
    /// Members that are hidden from clients.
    pub(crate) hidden: Vec<u8>,
    /// Members that can never be primary.
    pub(crate) passive: Vec<u8>,
    /// Members that are arbiters.
    pub(crate) arbiters: Vec<u8>,
    /// Whether members compress their messages, as they do by default. Captures can then not be searched.
    pub(crate) compressed: bool,
    /// Additional arguments of every sidecar.
    pub(crate) sidecar: Vec<String>,
    /// Additional arguments of every mongod.
    pub(crate) server: Vec<String>,
    /// Whether outbound routes have names instead of addresses as upstreams.
    pub(crate) by_name: bool,
    /// Whether admin ports are reached as the guide describes, by TLS at the members' names; otherwise by Unix
    /// sockets.
    pub(crate) admin_by_tls: bool,
    /// The sets that the members form; if empty, all members form one set.
    pub(crate) sets: Vec<Part>,
}

/// One set of a sharded cluster.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// `--configsvr` or `--shardsvr`; `None` for a set that is not part of a cluster.
    pub(crate) role: Option<&'static str>,
    pub(crate) members: Vec<u8>,
}

impl Plan {
    /// A set of three members.
    pub(crate) fn new(variant: Variant) -> Self {
        Self {
            variant,
            release: Release::V6_0,
            members: 3,
            spare: 0,
            hidden: Vec::new(),
            passive: Vec::new(),
            arbiters: Vec::new(),
            compressed: false,
            sidecar: Vec::new(),
            server: Vec::new(),
            by_name: false,
            admin_by_tls: false,
            sets: Vec::new(),
        }
    }

    /// The servers of a sharded cluster: a set of config servers, and two shards.
    pub(crate) fn sharded(variant: Variant) -> Self {
        let part = |name, role, members: &[u8]| Part { name, role: Some(role), members: members.to_vec() };
        let sets = vec![
            part("cfg", "--configsvr", &[1]),
            part("shard1", "--shardsvr", &[2, 3]),
            part("shard2", "--shardsvr", &[4, 5]),
        ];
        Self { members: 5, sets, ..Self::new(variant) }
    }

    /// Starts the sidecars in this mode.
    pub(crate) fn in_mode(mut self, mode: &str) -> Self {
        self.sidecar.extend(["--sslMode".to_owned(), mode.to_owned()]);
        self
    }
}

/// A member: its host, its mongod and its sidecar.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) host: Host,
    pub(crate) sidecar: Option<Sidecar>,
    pub(crate) server: Server,
}

/// A set. Its processes end before its network is removed.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) plan: Plan,
    pub(crate) members: Vec<Member>,
    pub(crate) identities: Identities,
    pub(crate) network: Network,
    /// The folder of change records.
    records: Scratch,
    /// Declared last: the next set can start once this one is removed.
    _turn: Turn,
}

impl Set {
    /// Creates a set and waits until it has a primary and all other members are its secondaries.
    ///
    /// # Errors
    ///
    /// This machine cannot create the network. Later failures panic.
    pub(crate) fn form(plan: Plan) -> Result<Self, String> {
        let turn = Turn::take();
        let network = Network::new(plan.members + plan.spare)?;
        let identities = Identities::new(network.members());
        network.app().set_names(Names::Real, network.members());
        let records = Scratch::new("records");
        let mut set = Self { members: Vec::new(), identities, network, records, plan, _turn: turn };
        for number in 1..=set.plan.members {
            set.start_member(number);
        }
        for part in set.parts() {
            let first = &set.member(part.members[0]).server;
            first.ask("admin", &doc! { "replSetInitiate": set.config(&part) }).expect("a set is initiated");
        }
        set.wait_healthy();
        Ok(set)
    }

    /// Starts mongod on a host, and the sidecar too unless the variant starts it later.
    pub(crate) fn start_member(&mut self, number: u8) {
        let host = self.network.members()[usize::from(number) - 1].clone();
        let (bind, names) = match self.plan.variant {
            Variant::Explicit => ("127.0.0.1", Names::Loopback),
            Variant::Transparent => ("0.0.0.0", Names::Real),
        };
        host.set_names(names, self.network.members());
        let part = self.plan.sets.iter().find(|part| part.members.contains(&number));
        let name = part.map_or(NAME, |part| part.name);
        let set = ["--replSet", name, "--oplogSize", "200"].into_iter().chain(part.and_then(|part| part.role));
        let set: Vec<String> = set.map(str::to_owned).collect();
        let uncompressed = ["--networkMessageCompressors", "disabled"].map(str::to_owned);
        let compression = if self.plan.compressed { &[][..] } else { &uncompressed };
        let args = [&set[..], compression, &self.plan.server].concat();
        let server = Server::start_release(&host, self.plan.release, bind, &args);
        let sidecar = match self.plan.variant {
            Variant::Explicit => Some(Sidecar::start(&host, None, &self.explicit_routes(&host))),
            Variant::Transparent => None,
        };
        self.members.push(Member { host, sidecar, server });
    }

    /// A member, by its number from 1.
    pub(crate) fn member(&self, number: u8) -> &Member {
        &self.members[usize::from(number) - 1]
    }

    /// A member, to kill and restart it.
    pub(crate) fn member_mut(&mut self, number: u8) -> &mut Member {
        &mut self.members[usize::from(number) - 1]
    }

    /// The sidecar of a member.
    #[track_caller]
    pub(crate) fn sidecar(&self, number: u8) -> &Sidecar {
        self.member(number).sidecar.as_ref().expect("the member has its sidecar")
    }

    /// All sidecars, in order.
    pub(crate) fn sidecars(&self) -> impl Iterator<Item = &Sidecar> {
        self.members.iter().filter_map(|member| member.sidecar.as_ref())
    }

    /// The number of the primary, according to most members.
    pub(crate) fn primary(&self) -> Option<u8> {
        let views = self.members.iter().filter_map(|member| member.server.status().ok());
        let seen: Vec<u8> = views.filter_map(|view| primary_of(&view)).collect();
        let votes = |number: u8| seen.iter().filter(|&&seen| seen == number).count();
        self.members.iter().map(|member| member.host.number).find(|&number| votes(number) * 2 > self.members.len())
    }

    /// The numbers of all members except the primary.
    #[track_caller]
    pub(crate) fn secondaries(&self) -> Vec<u8> {
        let primary = self.primary().expect("the set has a primary");
        self.members.iter().map(|member| member.host.number).filter(|&number| number != primary).collect()
    }

    /// The election term, which grows with every election.
    #[track_caller]
    pub(crate) fn term(&self) -> i64 {
        let terms = self.members.iter().filter_map(|member| member.server.status().ok()?.get_i64("term").ok());
        terms.max().expect("a member answers")
    }

    /// Waits until every member sees one primary, and all others as secondaries or arbiters.
    #[track_caller]
    pub(crate) fn wait_healthy(&self) {
        let deadline = Instant::now() + HEALTHY_LIMIT;
        while let Err(why) = self.is_healthy() {
            assert!(Instant::now() < deadline, "the set does not become healthy within {HEALTHY_LIMIT:?}: {why}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The sets that the members form.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let all = || self.members.iter().map(|member| member.host.number).collect();
        match self.plan.sets.as_slice() {
            [] => vec![Part { name: NAME, role: None, members: all() }],
            sets => sets.to_vec(),
        }
    }

    fn is_healthy(&self) -> Result<(), String> {
        self.parts().iter().try_for_each(|part| self.is_part_healthy(part))
    }

    fn is_part_healthy(&self, part: &Part) -> Result<(), String> {
        for member in part.members.iter().map(|&number| self.member(number)) {
            let view = member.server.status()?;
            let states: Vec<String> = members_of(&view).iter().filter_map(state_of).collect();
            let count = |wanted: &str| states.iter().filter(|state| *state == wanted).count();
            let (secondaries, arbiters) = (count("SECONDARY"), count("ARBITER"));
            let all = secondaries + arbiters + 1 == part.members.len() && arbiters == self.plan.arbiters.len();
            if primary_of(&view).is_none() || !all {
                return Err(format!("{} sees {states:?}", member.host.name()));
            }
        }
        Ok(())
    }

    /// Reconfigures the set to the members that have been started.
    #[track_caller]
    pub(crate) fn reconfigure(&self) {
        let primary = &self.member(self.primary().expect("the set has a primary")).server;
        let now = primary.ask("admin", &doc! { "replSetGetConfig": 1 }).expect("the set has a configuration");
        let version = now.get_document("config").and_then(|config| config.get_i32("version")).expect("a version");
        let mut config = self.config(&self.parts()[0]);
        config.insert("version", version + 1);
        primary.ask("admin", &doc! { "replSetReconfig": config }).expect("a new configuration is taken");
    }

    /// The state of a member according to the primary.
    pub(crate) fn state_of(&self, number: u8) -> Option<String> {
        let view = self.member(self.primary()?).server.status().ok()?;
        let members = members_of(&view);
        members.iter().find(|member| member.get_i32("_id").is_ok_and(|id| id == i32::from(number))).and_then(state_of)
    }

    /// Starts a rollout over all sidecars.
    pub(crate) fn rollout(&self, args: &[&str]) -> Rollout {
        self.rollout_over(&self.members.iter().map(|member| member.host.number).collect::<Vec<_>>(), args)
    }

    /// As [`Set::rollout`], over the sidecars of some members.
    pub(crate) fn rollout_over(&self, numbers: &[u8], args: &[&str]) -> Rollout {
        let log = self.records.join("rollout.log");
        if self.plan.admin_by_tls {
            let nodes: Vec<String> =
                numbers.iter().map(|&number| format!("{}:28017", self.member(number).host.name())).collect();
            let [ca, ops] = [self.identities.ca(), self.identities.file("ops")];
            let tls = ["--tls", "--tlsCAFile", &ca, "--tlsCertificateKeyFile", &ops];
            return Rollout::start(self.network.app(), &nodes, &log, &[args, &tls].concat());
        }
        let nodes: Vec<String> = numbers.iter().map(|&number| self.sidecar(number).admin()).collect();
        Rollout::start(self.network.app(), &nodes, &log, args)
    }

    /// Starts the application, which runs until [`App::finish`].
    pub(crate) fn app(&self, marker: &str, kind: Kind) -> App {
        App::start(self, marker, kind)
    }

    /// The answer of one member to a command from the application's host, see [`outside::ask`].
    ///
    /// # Errors
    ///
    /// The driver's error.
    pub(crate) fn ask_from_outside(&self, number: u8, options: &str, command: &Value) -> Result<Value, String> {
        let python = parts::pymongo().expect("required first");
        outside::ask(python, self.network.app(), &self.member(number).host, options, command)
    }

    /// URI options for TLS with one of the set's certificates; with `None`, without a certificate.
    pub(crate) fn by_tls(&self, certificate: Option<&str>) -> String {
        let shown = certificate.map(|name| format!("&tlsCertificateKeyFile={}", self.identities.file(name)));
        format!("tls=true&tlsCAFile={}{}", self.identities.ca(), shown.unwrap_or_default())
    }

    /// Starts capturing the traffic of every cable.
    pub(crate) fn capture(&self) -> Captures {
        Captures::start(self.network.members().iter().chain([self.network.app()]))
    }

    fn config(&self, part: &Part) -> Document {
        let member = |&number: &u8| {
            let member = self.member(number);
            let hidden = self.plan.hidden.contains(&member.host.number);
            let arbiter = self.plan.arbiters.contains(&member.host.number);
            let passive = hidden || arbiter || self.plan.passive.contains(&member.host.number);
            let (id, priority) = (i32::from(member.host.number), i32::from(!passive));
            let host = member.host.member();
            doc! { "_id": id, "host": host, "hidden": hidden, "priority": priority, "arbiterOnly": arbiter }
        };
        let members: Vec<Document> = part.members.iter().map(member).collect();
        match part.role {
            Some("--configsvr") => doc! { "_id": part.name, "configsvr": true, "members": members },
            _ => doc! { "_id": part.name, "members": members },
        }
    }
}

fn members_of(view: &Document) -> Vec<Document> {
    let members = view.get_array("members").into_iter().flatten();
    members.filter_map(|member| member.as_document().cloned()).collect()
}

fn state_of(member: &Document) -> Option<String> {
    member.get_str("stateStr").ok().map(str::to_owned)
}

fn primary_of(view: &Document) -> Option<u8> {
    let members = members_of(view);
    let primary = members.iter().find(|member| state_of(member).as_deref() == Some("PRIMARY"))?;
    primary.get_i32("_id").ok()?.try_into().ok()
}

/// The set's name.
pub(crate) const NAME: &str = "rs";
/// Heartbeats are sent every two seconds, an election takes about ten seconds, and a member that returns has to catch
/// up.
const HEALTHY_LIMIT: Duration = Duration::from_secs(240);
