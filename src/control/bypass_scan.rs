//! Finds connections of this host that bypass this proxy, in the kernel's table of TCP connections.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{read_dir, read_link};
use std::net::{IpAddr, SocketAddr};

use procfs::net::{TcpNetEntry, TcpState};

use crate::limits::LINKS;
use crate::net::{Established, established, is_own};
use crate::state::MemberList;

/// A connection that bypasses this proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bypass {
    /// The direction of the connection.
    pub direction: BypassDirection,
    /// The address of the end on this host.
    pub local: SocketAddr,
    /// The address of the other end.
    pub remote: SocketAddr,
    /// Whether the address of the other end is a member's.
    pub member: bool,
}

/// The direction of a connection that bypasses this proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BypassDirection {
    /// From another host to the fronted server.
    Inbound,
    /// From this host to another member.
    Outbound,
}

impl BypassDirection {
    /// The name in replies.
    pub const fn name(self) -> &'static str {
        match self {
            BypassDirection::Inbound => "inbound",
            BypassDirection::Outbound => "outbound",
        }
    }
}

/// The result of a scan.
#[derive(Debug, Default)]
pub(super) struct BypassScan {
    pub(super) bypass: Vec<Bypass>,
    /// Destinations of outgoing connections to servers without a known name, on a port that members use. They are not
    /// in `bypass`. If the interception rules redirect all addresses, new connections to these destinations are
    /// redirected.
    pub(super) unnamed: Vec<SocketAddr>,
}

impl BypassScan {
    /// Drops the bypassing connections that are not in `now`, the list of established connections.
    pub(super) fn keep_open(&mut self, now: &[Established]) {
        let open: HashSet<_> = now.iter().map(|one| (one.local, one.remote)).collect();
        self.bypass.retain(|one| open.contains(&(one.local, one.remote)));
    }
}

/// The ports and members by which a connection that bypasses this proxy is recognized.
#[derive(Debug)]
pub(super) struct BypassRules<'a> {
    /// The port of the fronted server, if the server is on this host.
    pub(super) server: Option<u16>,
    /// The port to which the kernel redirects outgoing connections.
    pub(super) transparent: Option<u16>,
    pub(super) members: &'a MemberList,
}

impl BypassRules<'_> {
    /// The direction in which a connection may bypass tlsramp, judging by its addresses alone. `None` if it leads
    /// neither to the fronted server nor, where outgoing connections are redirected, to another member; or if its other
    /// end is on this host.
    fn direction(&self, one: &Established, own: &mut impl FnMut(IpAddr) -> bool) -> Option<BypassDirection> {
        let Established { local, remote, .. } = one;
        let direction = if Some(local.port()) == self.server {
            BypassDirection::Inbound
        } else if self.transparent.is_some() && self.members.at(*remote).next().is_some() {
            BypassDirection::Outbound
        } else {
            return None;
        };
        (!own(remote.ip())).then_some(direction)
    }

    /// Whether an outgoing connection leads to a server without a known name, on a port that members use.
    fn is_unnamed(&self, one: &Established, own: &mut impl FnMut(IpAddr) -> bool) -> bool {
        let Established { local, remote, .. } = one;
        let port = remote.port();
        let of_members =
            Some(port) == self.server || self.members.members().iter().any(|member| member.name.port == port);
        self.transparent.is_some()
            && of_members
            && Some(local.port()) != self.server
            && self.members.at(*remote).next().is_none()
            && !own(remote.ip())
    }

    /// Whether a scan needs a connection, because it may be a bypass, or because its local port is the transparent
    /// port. In the second case, it is the accepted end of a redirected connection, whose other end is then no bypass.
    fn concern(&self, one: &Established, own: &mut impl FnMut(IpAddr) -> bool) -> bool {
        Some(one.local.port()) == self.transparent || self.direction(one, own).is_some() || self.is_unnamed(one, own)
    }
}

/// The established TCP connections of this network namespace that a scan needs.
pub(super) fn connections(rules: &BypassRules<'_>, own: &mut impl FnMut(IpAddr) -> bool) -> Vec<Established> {
    let mut concerned = |one: &Established| rules.concern(&canonical(*one), own);
    let all = established(&mut concerned).unwrap_or_else(|_| from_proc().filter(&mut concerned).collect());
    all.into_iter().map(canonical).collect()
}

/// Reads the established connections from `/proc/net/tcp`: slower, but available on every kernel.
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

/// The inode numbers of this process's sockets.
pub(super) fn own_sockets() -> HashSet<u64> {
    let entries = read_dir("/proc/self/fd").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| socket(read_link(entry.path()).ok()?.to_str()?)).collect()
}

/// Parses the inode number in the link of a socket's descriptor: see proc_pid_fd(5).
fn socket(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Converts IPv4-mapped addresses to IPv4.
fn canonical(one: Established) -> Established {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    Established { local: canonical(one.local), remote: canonical(one.remote), ..one }
}

/// Returns a closure that tells whether an address is one of this host. It looks up each address once.
pub(super) fn own_addresses() -> impl FnMut(IpAddr) -> bool {
    let mut known = HashMap::new();
    move |ip| *known.entry(ip).or_insert_with(|| is_own(ip))
}

/// Finds the connections from other hosts to the server, and from this host to other members, that do not pass through
/// this proxy.
pub(super) fn scan(
    all: &[Established],
    rules: &BypassRules<'_>,
    own: &mut impl FnMut(IpAddr) -> bool,
    ours: impl Fn(&Established) -> bool,
) -> BypassScan {
    let arrived = |one: &&Established| Some(one.local.port()) == rules.transparent && ours(one);
    let redirected: HashSet<_> = all.iter().filter(arrived).map(|one| one.remote).collect();
    let (mut bypass, mut unnamed) = (Vec::new(), BTreeSet::new());
    for one @ Established { local, remote, .. } in all {
        let direction = rules.direction(one, own);
        let is_unnamed = direction.is_none() && rules.is_unnamed(one, own);
        if (direction == Some(BypassDirection::Outbound) || is_unnamed) && redirected.contains(local) {
            continue;
        }
        if (direction.is_none() && !is_unnamed) || ours(one) {
            continue;
        }
        match direction {
            Some(direction) => {
                let member = rules.members.has(remote.ip());
                bypass.push(Bypass { direction, local: *local, remote: *remote, member });
            }
            None if unnamed.len() < LINKS => drop(unnamed.insert(*remote)),
            None => {}
        }
    }
    BypassScan { bypass, unnamed: unnamed.into_iter().collect() }
}

#[cfg(test)]
mod tests;
