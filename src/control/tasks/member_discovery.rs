//! Discovers the members of the set: those that the operator or a rollout has named, targets of outbound routes, and
//! the hosts in the `hello` of the fronted server. Names are resolved here; the last resolved addresses stay while DNS
//! fails.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::ticks::ticks;
use crate::config::Settings;
use crate::control::member_names::NamedSets;
use crate::control::probe::ServerStatus;
use crate::control::view::View;
use crate::limits::{PROBE_ANSWER, ROSTER_LOOK};
use crate::net::{HostPort, Resolver, Resolvers};
use crate::route::RouteId;
use crate::state::{Member, MemberList, MemberListWriter, NameSource};

/// The sources of one member: addresses that were given, and names to resolve.
#[derive(Debug, Default)]
struct Sources {
    given: Vec<IpAddr>,
    dialled: BTreeSet<(String, u16)>,
    from: BTreeSet<NameSource>,
}

/// The resolvers of the members' names, kept for as long as the names are.
#[derive(Debug)]
struct MemberResolvers {
    shared: Resolvers,
    kept: HashMap<(String, u16), Arc<Resolver>>,
}

/// Keeps the list of members up to date.
#[derive(Debug)]
pub(crate) struct MemberDiscovery {
    view: Arc<View>,
    writer: MemberListWriter,
    resolvers: Mutex<MemberResolvers>,
}

impl MemberDiscovery {
    /// Starts with the members whose addresses are given, and probes them.
    pub(crate) fn start(view: Arc<View>, writer: MemberListWriter, shared: Resolvers) -> MemberDiscovery {
        let resolvers = Mutex::new(MemberResolvers { shared, kept: HashMap::new() });
        let discovery = MemberDiscovery { view, writer, resolvers };
        let (loaded, named) =
            discovery.view.running(|running| (Arc::clone(&running.loaded), Arc::clone(&running.named)));
        discovery.put_in_force(MemberList::new(given(&loaded.settings, &named)));
        discovery
    }

    /// Runs until the task is aborted. A change takes effect within one second, or within the ten seconds for which a
    /// DNS answer is kept.
    pub(super) async fn run(self: Arc<MemberDiscovery>) {
        let mut ticks = ticks(ROSTER_LOOK);
        loop {
            ticks.tick().await;
            self.look_up().await;
        }
    }

    /// Updates the list from every source. Each name is resolved if its last answer is too old.
    pub(crate) async fn look_up(&self) {
        let mut resolvers = self.resolvers.lock().await;
        let (loaded, named) = self.view.running(|running| (Arc::clone(&running.loaded), Arc::clone(&running.named)));
        let members = resolve(sources(&loaded.settings, &self.view.servers(), &named), &mut resolvers).await;
        if *members != *self.view.members().members() {
            self.put_in_force(MemberList::new(members));
        }
    }

    fn put_in_force(&self, members: MemberList) {
        self.writer.write(members);
        let loaded = self.view.loaded();
        self.view.listeners().members_changed(&loaded.settings);
        self.view.prober().follow(&loaded.settings, &self.view.routes(), &self.view.members());
    }
}

/// The members with given addresses, which are known before any name is resolved.
fn given(settings: &Settings, named: &NamedSets) -> Vec<Member> {
    let sources = sources(settings, &[], named);
    let known = sources.into_iter().filter(|(_, sources)| !sources.given.is_empty());
    known.filter_map(|(name, mut sources)| member(name, std::mem::take(&mut sources.given), &sources)).collect()
}

/// The sources of names that may be used to verify a peer's certificate. The `hello` of servers other than the
/// fronted one is not used, because any host may have answered at their addresses.
fn sources(settings: &Settings, servers: &[ServerStatus], named: &NamedSets) -> BTreeMap<(String, u16), Sources> {
    let mut found = BTreeMap::<_, Sources>::new();
    for member in &settings.members {
        let sources = found.entry(key(&member.name)).or_default();
        sources.from.insert(NameSource::Option);
        match member.address {
            Some(address) => sources.given.push(address),
            None => drop(sources.dialled.insert(key(&member.name))),
        }
    }
    for outbound in &settings.outbound {
        let name = (outbound.name.to_ascii_lowercase(), outbound.target.port);
        let sources = found.entry(name).or_default();
        sources.from.insert(NameSource::Outbound);
        match outbound.target.ip() {
            Some(ip) => sources.given.push(ip),
            None => drop(sources.dialled.insert(key(&outbound.target))),
        }
    }
    let own =
        servers.iter().filter(|server| server.route == RouteId::Inbound).filter_map(|server| server.hello.as_ref());
    let hosts = own.flat_map(|hello| hello.hosts.iter().chain(&hello.me));
    let hosts = hosts.filter_map(|host| Some((host.parse::<HostPort>().ok()?, NameSource::Hello)));
    for (name, from) in hosts.chain(named.names().map(|name| (name.clone(), NameSource::Rollout))) {
        let sources = found.entry(key(&name)).or_default();
        sources.from.insert(from);
        // If an address was given, the name is not resolved.
        if sources.given.is_empty() {
            sources.dialled.insert(key(&name));
        }
    }
    found
}

/// Host names are compared case-insensitively.
fn key(name: &HostPort) -> (String, u16) {
    (name.host.to_ascii_lowercase(), name.port)
}

async fn resolve(sources: BTreeMap<(String, u16), Sources>, resolvers: &mut MemberResolvers) -> Vec<Member> {
    let wanted: BTreeSet<_> = sources.values().flat_map(|sources| sources.dialled.iter().cloned()).collect();
    let MemberResolvers { shared, kept } = resolvers;
    kept.retain(|name, _| wanted.contains(name));
    let asked = wanted.into_iter().map(|name| {
        let target = HostPort { host: name.0.clone(), port: name.1 };
        let resolver = Arc::clone(kept.entry(name.clone()).or_insert_with(|| shared.get(&target)));
        // All names are resolved concurrently: DNS may be slow, and each answer is independent.
        tokio::spawn(async move { (name, resolver.addresses(PROBE_ANSWER).await) })
    });
    let asked: Vec<_> = asked.collect();
    let mut answers = HashMap::new();
    for one in asked {
        if let Ok((name, Ok(addresses))) = one.await {
            answers.insert(name, addresses.into_iter().map(|address| address.ip().to_canonical()).collect::<Vec<_>>());
        }
    }
    let members = sources.into_iter().filter_map(|(name, sources)| {
        let resolved = sources.dialled.iter().filter_map(|name| answers.get(name)).flatten().copied();
        member(name, sources.given.iter().copied().chain(resolved).collect(), &sources)
    });
    members.collect()
}

fn member((host, port): (String, u16), addresses: Vec<IpAddr>, sources: &Sources) -> Option<Member> {
    let addresses: BTreeSet<_> = addresses.iter().map(IpAddr::to_canonical).collect();
    // A `hello` may contain names that are not valid host names.
    let name = HostPort { host, port }.to_string().parse().ok()?;
    Some(Member { name, addresses: addresses.into_iter().collect(), sources: sources.from.iter().copied().collect() })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::{MemberResolvers, resolve, sources};
    use crate::control::member_names::NamedSets;
    use crate::control::probe::{self, ServerStatus};
    use crate::net::Resolvers;
    use crate::route::RouteId;
    use crate::state::NameSource::{self, Hello, Option, Outbound, Rollout};

    fn settings(args: &[&str]) -> crate::config::Settings {
        let command = crate::config::with_options(clap::Command::new("run"));
        let all = [&["run", "--upstream=127.0.0.1:1"], args].concat();
        crate::config::load(&command.try_get_matches_from(all).unwrap()).unwrap().settings
    }

    #[tokio::test]
    async fn members_by_every_source() {
        let settings = settings(&[
            "--member=DB1.example.net:27017=10.0.0.1",
            "--member=localhost:27017",
            "--outbound=127.0.1.2:0=10.0.0.2:27017,name=db2.example.net",
        ]);
        let hosts =
            ["db1.example.net:27017", "db2.example.net:27017", "localhost:27018", "nobody.invalid:27017", "not a name"];
        let server = |route, hello| ServerStatus { hello: Some(hello), ..ServerStatus::new(route, "".into()) };
        let me = Some("db1.example.net:27017".into());
        let hello = server(
            RouteId::Inbound,
            probe::HelloReply { hosts: hosts.map(str::to_owned).to_vec(), me, ..probe::HelloReply::default() },
        );
        // The member list in another server's `hello` is ignored.
        let other = server(
            RouteId::Transparent,
            probe::HelloReply { hosts: vec!["evil.example:27017".into()], ..probe::HelloReply::default() },
        );
        let named = ["localhost:27019", "localhost:27018", "DB1.example.net:27017"].map(str::to_owned).to_vec();
        let mut resolvers = MemberResolvers { shared: Resolvers::default(), kept: HashMap::new() };
        let named = NamedSets::parse(&BTreeMap::from([("rs1".to_owned(), named)])).unwrap();
        let members = resolve(sources(&settings, &[hello, other], &named), &mut resolvers).await;
        let from = |name: &str| -> Vec<NameSource> {
            members.iter().find(|member| member.name.to_string() == name).unwrap().sources.clone()
        };
        assert_eq!(from("db1.example.net:27017"), [Option, Hello, Rollout]);
        assert_eq!(from("db2.example.net:27017"), [Outbound, Hello]);
        assert_eq!(from("localhost:27018"), [Hello, Rollout]);
        assert_eq!(from("localhost:27019"), [Rollout]);
        let shown: Vec<_> = members.iter().map(|member| (member.name.to_string(), member.addresses.clone())).collect();
        let find = |name: &str| shown.iter().find(|(known, _)| known == name).map(|(_, addresses)| addresses.clone());
        let ip = |text: &str| text.parse::<std::net::IpAddr>().unwrap();
        assert_eq!(find("db1.example.net:27017"), Some(vec![ip("10.0.0.1")]));
        assert_eq!(find("db2.example.net:27017"), Some(vec![ip("10.0.0.2")]));
        assert!(find("localhost:27017").unwrap().contains(&ip("127.0.0.1")));
        assert!(find("localhost:27018").unwrap().contains(&ip("127.0.0.1")));
        // A member whose name does not resolve is listed without addresses.
        assert_eq!(find("nobody.invalid:27017"), Some(vec![]));
        assert!(find("localhost:27019").unwrap().contains(&ip("127.0.0.1")));
        assert_eq!(shown.len(), 6, "{shown:?}");
        assert_eq!(super::given(&settings, &named).len(), 2);
    }
}
