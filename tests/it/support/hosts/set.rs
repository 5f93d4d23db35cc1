//! A replica set whose members know each other by name, with a sidecar on each host.

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

/// How the sidecars stand in the members' way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// mongod on loopback, tlsramp on its port outside; each member's name is a loopback address with an outbound
    /// route, a member's own too.
    Explicit,
    /// mongod where it was, real names; the kernel redirects. The set is there before its sidecars: [`Set::adopt`].
    Transparent,
}

/// What set is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) variant: Variant,
    /// What every mongod is.
    pub(crate) release: Release,
    /// Members at first.
    pub(crate) members: u8,
    /// Hosts without a member as yet.
    pub(crate) spare: u8,
    /// Members that clients are not told of.
    pub(crate) hidden: Vec<u8>,
    /// Members that are never primary.
    pub(crate) passive: Vec<u8>,
    /// Members without data.
    pub(crate) arbiters: Vec<u8>,
    /// Whether the members compress what they send, as they do by default. Nothing can be found on the wires then.
    pub(crate) compressed: bool,
    /// More of every sidecar's command line.
    pub(crate) sidecar: Vec<String>,
    /// More of every mongod's command line.
    pub(crate) server: Vec<String>,
    /// Whether outbound routes lead to names instead of addresses.
    pub(crate) by_name: bool,
    /// Whether the admin ports are reached as the README says: by TLS at the members' names. Else by unix sockets.
    pub(crate) admin_by_tls: bool,
    /// The sets that the members form; none: all are of one.
    pub(crate) sets: Vec<Part>,
}

/// One set of a sharded cluster.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// `--configsvr` or `--shardsvr`; none for a set that stands alone.
    pub(crate) role: Option<&'static str>,
    pub(crate) members: Vec<u8>,
}

impl Plan {
    /// Three members.
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

    /// Sidecars that start in this mode.
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

/// A set. Its processes end before its network goes.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) plan: Plan,
    pub(crate) members: Vec<Member>,
    pub(crate) identities: Identities,
    pub(crate) network: Network,
    /// Where change records are.
    records: Scratch,
    /// Declared last: the next set starts when this one is gone.
    _turn: Turn,
}

impl Set {
    /// Forms one and waits until it has a primary and all others follow.
    ///
    /// # Errors
    ///
    /// Where the machine has no such network; what goes wrong later is a panic.
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

    /// Starts mongod and, where it does not come later, sidecar on a host.
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

    /// The same, to kill and restart.
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

    /// The number of the primary, as most members see it now.
    pub(crate) fn primary(&self) -> Option<u8> {
        let views = self.members.iter().filter_map(|member| member.server.status().ok());
        let seen: Vec<u8> = views.filter_map(|view| primary_of(&view)).collect();
        let votes = |number: u8| seen.iter().filter(|&&seen| seen == number).count();
        self.members.iter().map(|member| member.host.number).find(|&number| votes(number) * 2 > self.members.len())
    }

    /// The numbers of all members but the primary.
    #[track_caller]
    pub(crate) fn secondaries(&self) -> Vec<u8> {
        let primary = self.primary().expect("the set has a primary");
        self.members.iter().map(|member| member.host.number).filter(|&number| number != primary).collect()
    }

    /// The term: it grows with every election.
    #[track_caller]
    pub(crate) fn term(&self) -> i64 {
        let terms = self.members.iter().filter_map(|member| member.server.status().ok()?.get_i64("term").ok());
        terms.max().expect("a member answers")
    }

    /// Waits until every member sees one primary, and all others as its secondaries.
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

    /// Makes the members that have been started those of the set.
    #[track_caller]
    pub(crate) fn reconfigure(&self) {
        let primary = &self.member(self.primary().expect("the set has a primary")).server;
        let now = primary.ask("admin", &doc! { "replSetGetConfig": 1 }).expect("the set has a configuration");
        let version = now.get_document("config").and_then(|config| config.get_i32("version")).expect("a version");
        let mut config = self.config(&self.parts()[0]);
        config.insert("version", version + 1);
        primary.ask("admin", &doc! { "replSetReconfig": config }).expect("a new configuration is taken");
    }

    /// The state of a member, as the primary sees it.
    pub(crate) fn state_of(&self, number: u8) -> Option<String> {
        let view = self.member(self.primary()?).server.status().ok()?;
        let members = members_of(&view);
        members.iter().find(|member| member.get_i32("_id").is_ok_and(|id| id == i32::from(number))).and_then(state_of)
    }

    /// Starts a rollout over all sidecars.
    pub(crate) fn rollout(&self, args: &[&str]) -> Rollout {
        self.rollout_over(&self.members.iter().map(|member| member.host.number).collect::<Vec<_>>(), args)
    }

    /// The same over those of some members.
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

    /// Starts the application, which goes on until it is told to finish.
    pub(crate) fn app(&self, marker: &str, kind: Kind) -> App {
        App::start(self, marker, kind)
    }

    /// The answer of one member to a command from outside, see [`outside::ask`].
    ///
    /// # Errors
    ///
    /// What the driver tells its application.
    pub(crate) fn ask_from_outside(&self, number: u8, options: &str, command: &Value) -> Result<Value, String> {
        let python = parts::pymongo().expect("required first");
        outside::ask(python, self.network.app(), &self.member(number).host, options, command)
    }

    /// Options of a URI for TLS with one of the set's certificates; none: without one.
    pub(crate) fn by_tls(&self, certificate: Option<&str>) -> String {
        let shown = certificate.map(|name| format!("&tlsCertificateKeyFile={}", self.identities.file(name)));
        format!("tls=true&tlsCAFile={}{}", self.identities.ca(), shown.unwrap_or_default())
    }

    /// Begins to write down what goes over every cable.
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
/// Heartbeats come every two seconds, an election within ten or so, and a member that comes back has to catch up.
const HEALTHY_LIMIT: Duration = Duration::from_secs(90);
