//! The kernel's side of a sidecar: whether the redirect rules are there, and which connections go around tlsramp all
//! the same, because they are older.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{read_dir, read_link};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use procfs::net::{TcpNetEntry, TcpState};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::controller::{Controller, blocking};
use super::interception::{Interception, Missing};
use super::views::{Blocker, BypassStatus};
use crate::config::Settings;
use crate::limits::{BYPASS_SHOWN, CANARY_ANSWER, LINKS, REDIRECT_LOOK};
use crate::net::{Established, HostPort, UpstreamAddress, canary, established, is_own};
use crate::policy::Mode;
use crate::route::RouteId;
use crate::state::MemberList;

/// What was seen last.
#[derive(Debug, Default)]
pub(crate) struct Redirect(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Whether the rules were there at the last look; none: nobody has looked, or nobody expects any.
    rules: Option<bool>,
    /// Whether they ever were.
    once: bool,
    bypass: Vec<BypassStatus>,
    unnamed: Vec<SocketAddr>,
}

/// Connections that a look has found.
#[derive(Debug, Default)]
struct Around {
    /// Those that go around tlsramp.
    bypass: Vec<BypassStatus>,
    /// Where others of this host lead that nothing names: on a member's port, and so to be redirected once they are made
    /// anew, if the rules are for all addresses.
    unnamed: Vec<SocketAddr>,
}

/// What tells a connection that goes around tlsramp.
#[derive(Debug)]
struct Paths<'a> {
    /// The port of the fronted server, where that is on this host.
    server: Option<u16>,
    /// The port for redirected connections.
    transparent: Option<u16>,
    roster: &'a MemberList,
}

impl Around {
    /// Drops connections that are not among those that are open now.
    fn keep_open(&mut self, now: &[Established]) {
        let open: HashSet<_> = now.iter().map(|one| (one.local.to_string(), one.remote.to_string())).collect();
        self.bypass.retain(|one| open.contains(&(one.local.clone(), one.remote.clone())));
    }
}

impl Paths<'_> {
    /// Which way a connection would go around tlsramp, if neither it nor what it became were tlsramp's.
    fn direction(&self, one: &Established, own: &mut impl FnMut(IpAddr) -> bool) -> Option<&'static str> {
        let Established { local, remote, .. } = one;
        let direction = if Some(local.port()) == self.server {
            INBOUND
        } else if self.transparent.is_some() && self.roster.at(*remote).next().is_some() {
            OUTBOUND
        } else {
            return None;
        };
        (!own(remote.ip())).then_some(direction)
    }

    /// Whether a connection leads to a server that nothing names, on a port that members have.
    fn is_unnamed(&self, one: &Established, own: &mut impl FnMut(IpAddr) -> bool) -> bool {
        let Established { local, remote, .. } = one;
        let port = remote.port();
        let of_members =
            Some(port) == self.server || self.roster.members().iter().any(|member| member.name.port == port);
        self.transparent.is_some()
            && of_members
            && Some(local.port()) != self.server
            && self.roster.at(*remote).next().is_none()
            && !own(remote.ip())
    }

    /// Whether a connection may be one that goes around, or tells of another that does not.
    fn concern(&self, one: &Established, own: &mut impl FnMut(IpAddr) -> bool) -> bool {
        Some(one.local.port()) == self.transparent || self.direction(one, own).is_some() || self.is_unnamed(one, own)
    }
}

impl Controller {
    /// Looks at the rules and at the connections of this host every five seconds, without end.
    pub async fn watch_redirect(self: Arc<Controller>) {
        let mut ticks = interval(REDIRECT_LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let settings = self.settings();
            if let Some(port) = redirected_to(&settings) {
                let expected = settings.transparent.is_some() || is_inbound_transparent(&settings);
                let changed = self.redirect.found(rules_are_there(port).await, expected);
                if changed {
                    self.say_redirect();
                }
            }
            self.look_for_bypass().await;
        }
    }

    /// The connections that go around tlsramp now.
    pub(crate) async fn look_for_bypass(&self) {
        let settings = self.settings();
        let (server, transparent, roster) = (local_server(&settings), settings.transparent, self.roster());
        if server.is_none() && transparent.is_none() {
            return self.redirect.seen().around(Around::default());
        }
        let look = move || {
            // As many as this process has connections: read only if addresses alone do not tell.
            let own = LazyCell::new(own_sockets);
            let (paths, mut here) = (Paths { server, transparent, roster: &roster }, own_addresses());
            let mut all = connections(&paths, &mut here);
            // Nobody has accepted it yet: it may be tlsramp's, whose connections have the server's address by TPROXY.
            all.retain(|one| one.inode != 0);
            let mut found = around(&all, &paths, &mut here, |one| own.contains(&one.inode));
            if !found.bypass.is_empty() {
                // tlsramp's own that have ended since are among them: their descriptors were gone when those were read.
                found.keep_open(&connections(&paths, &mut here));
            }
            found
        };
        // A look that panicked has found nothing.
        let found = blocking(look).await.unwrap_or_default();
        self.redirect.seen().around(found);
    }

    /// Where connections of this host lead that are older than the redirect, and nothing names.
    pub(crate) fn unnamed(&self) -> Vec<SocketAddr> {
        self.redirect.seen().unnamed.clone()
    }

    pub(crate) fn bypassing(&self) -> Vec<BypassStatus> {
        self.redirect.seen().bypass.clone()
    }

    /// Logs that the rules are there now, or not there.
    fn say_redirect(&self) {
        match self.missing_rules() {
            Some(missing) if missing.critical => tracing::error!("{}", missing.text),
            Some(missing) => tracing::warn!("{}", missing.text),
            None => tracing::info!("the redirect rules are in force"),
        }
    }

    /// What it means that the rules are not there, if they should be.
    pub(crate) fn missing_rules(&self) -> Option<Missing> {
        self.interception().missing(self.mode().0)
    }

    /// What is known of the rules, and of the ports that they are about.
    pub(crate) fn interception(&self) -> Interception {
        let settings = self.settings();
        let inbound = self.upstreams().into_iter().find(|server| server.route == "inbound");
        let advertised = inbound.and_then(|server| server.me?.parse::<HostPort>().ok()).map(|me| me.port);
        let listens = self.listeners.addresses().into_iter().filter(|(route, _)| *route == RouteId::Inbound);
        let seen = self.redirect.seen();
        Interception {
            rules: seen.rules,
            once: seen.once,
            outbound: settings.transparent.is_some(),
            inbound: is_inbound_transparent(&settings),
            server: local_server(&settings),
            listens: listens.map(|(_, at)| at.port()).collect(),
            advertised,
        }
    }

    /// What stands against a mode that counts on every connection coming by.
    pub(crate) fn around_blockers(&self, to: Mode) -> Vec<Blocker> {
        if to.accepts_plaintext() {
            return Vec::new();
        }
        let rules = self.missing_rules().map(|missing| Blocker {
            kind: "redirect".into(),
            text: missing.text,
            remedy: "tlsramp netfilter --apply".into(),
            ..Blocker::default()
        });
        rules.into_iter().chain(grouped(&self.bypassing())).collect()
    }
}

impl Seen {
    fn around(&mut self, found: Around) {
        (self.bypass, self.unnamed) = (found.bypass, found.unnamed);
    }
}

impl Redirect {
    /// Notes what a look has found. True if that is something else than before.
    fn found(&self, rules: bool, expected: bool) -> bool {
        let mut seen = self.seen();
        seen.once |= rules;
        let now = (expected || seen.once).then_some(rules);
        std::mem::replace(&mut seen.rules, now) != now
    }

    /// Whether the rules were there at the last look; none where none are expected.
    pub(crate) fn rules(&self) -> Option<bool> {
        self.seen().rules
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The port that rules would redirect the canary to, if any rules are thinkable.
fn redirected_to(settings: &Settings) -> Option<u16> {
    settings.transparent.or_else(|| {
        if !is_inbound_transparent(settings) {
            local_server(settings)?;
        }
        settings.inbound.as_ref()?.binds.first().map(SocketAddr::port)
    })
}

/// Whether the kernel hands connections to the server's address over to the inbound route.
fn is_inbound_transparent(settings: &Settings) -> bool {
    settings.inbound.as_ref().is_some_and(|inbound| inbound.transparent)
}

/// The port of the fronted server, where that is on this host.
fn local_server(settings: &Settings) -> Option<u16> {
    match &settings.inbound.as_ref()?.upstream {
        UpstreamAddress::Tcp(target) if target.host == "localhost" || target.ip().is_some_and(is_own) => {
            Some(target.port)
        }
        UpstreamAddress::Tcp(_) | UpstreamAddress::Unix(_) => None,
    }
}

/// Whether the canary leads anywhere.
async fn rules_are_there(port: u16) -> bool {
    let dialled = timeout(CANARY_ANSWER, TcpStream::connect(SocketAddr::V4(canary(port)))).await;
    matches!(dialled, Ok(Ok(_)))
}

/// The established TCP connections of this host, or of its network namespace, that a look is about.
fn connections(paths: &Paths<'_>, own: &mut impl FnMut(IpAddr) -> bool) -> Vec<Established> {
    let mut concerned = |one: &Established| paths.concern(&canonical(*one), own);
    let all = established(&mut concerned).unwrap_or_else(|_| from_proc().filter(&mut concerned).collect());
    all.into_iter().map(canonical).collect()
}

/// The same from where every kernel has it, at a price.
fn from_proc() -> impl Iterator<Item = Established> {
    let entries = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().filter_map(Result::ok).flatten();
    let established = entries.filter(|entry| entry.state == TcpState::Established);
    established.map(|entry: TcpNetEntry| Established {
        local: entry.local_address,
        remote: entry.remote_address,
        inode: entry.inode,
        transparent: false,
    })
}

/// The numbers of this process's sockets.
fn own_sockets() -> HashSet<u64> {
    let entries = read_dir("/proc/self/fd").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| socket(read_link(entry.path()).ok()?.to_str()?)).collect()
}

/// The number in what a socket's descriptor links to, as proc_pid_fd(5) has it.
fn socket(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// With IPv4 addresses as such, however the socket has them.
fn canonical(one: Established) -> Established {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    Established { local: canonical(one.local), remote: canonical(one.remote), ..one }
}

/// Whether an address is this host's, each asked for once.
fn own_addresses() -> impl FnMut(IpAddr) -> bool {
    let mut known = HashMap::new();
    move |ip| *known.entry(ip).or_insert_with(|| is_own(ip))
}

/// Those that lead to the server from outside without us, or from this host to another member without us.
fn around(
    all: &[Established],
    paths: &Paths<'_>,
    own: &mut impl FnMut(IpAddr) -> bool,
    ours: impl Fn(&Established) -> bool,
) -> Around {
    let arrived = |one: &&Established| Some(one.local.port()) == paths.transparent && ours(one);
    let redirected: HashSet<_> = all.iter().filter(arrived).map(|one| one.remote).collect();
    let (mut bypass, mut unnamed) = (Vec::new(), BTreeSet::new());
    for one @ Established { local, remote, .. } in all {
        let direction = paths.direction(one, own);
        let is_unnamed = direction.is_none() && paths.is_unnamed(one, own);
        if (direction == Some(OUTBOUND) || is_unnamed) && redirected.contains(local) {
            continue;
        }
        if (direction.is_none() && !is_unnamed) || ours(one) {
            continue;
        }
        match direction {
            Some(direction) => bypass.push(BypassStatus {
                direction: direction.into(),
                local: local.to_string(),
                remote: remote.to_string(),
                member: paths.roster.has(remote.ip()),
            }),
            None if unnamed.len() < LINKS => drop(unnamed.insert(*remote)),
            None => {}
        }
    }
    Around { bypass, unnamed: unnamed.into_iter().collect() }
}

/// One finding for each peer and direction.
fn grouped(bypass: &[BypassStatus]) -> Vec<Blocker> {
    let mut peers = BTreeMap::<(&str, &str), Vec<&BypassStatus>>::new();
    for connection in bypass {
        let ip = connection.remote.rsplit_once(':').map_or(&*connection.remote, |(ip, _)| ip);
        peers.entry((&connection.direction, ip)).or_default().push(connection);
    }
    let blocker = |((direction, ip), all): ((&str, &str), Vec<&BypassStatus>)| {
        let first = all[0];
        let (count, whose) = (all.len(), if first.member { "member" } else { "client" });
        let (how, filter, also) = match direction {
            INBOUND => ("from", format!("ss -K sport = :{} and dst {ip}", port(&first.local)), ""),
            _ => {
                let also = ", and tlsramp's own to it, which are made anew";
                ("to", format!("ss -K dport = :{} and dst {ip}", port(&first.remote)), also)
            }
        };
        Blocker {
            kind: "bypass".into(),
            text: format!(
                "bypass: {count} connections {how} {whose} {ip} are older than the redirect and go around tlsramp"
            ),
            remedy: format!("they end when that peer connects anew; as root, {filter} ends them now{also}"),
            address: Some(ip.to_owned()),
            open: u64::try_from(count).ok(),
            ..Blocker::default()
        }
    };
    peers.into_iter().map(blocker).collect()
}

fn port(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(_, port)| port)
}

/// So many rows that a person may read them.
pub(crate) fn shown(mut bypass: Vec<BypassStatus>) -> Vec<BypassStatus> {
    bypass.truncate(BYPASS_SHOWN);
    bypass
}

const INBOUND: &str = "inbound";
const OUTBOUND: &str = "outbound";

#[cfg(test)]
mod tests;
