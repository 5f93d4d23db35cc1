//! The hosts' established connections as listed by their kernels. A connection that exists at only one end is a leak.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use super::Host;
use crate::support::process;

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct End {
    /// The host that has it, if both ends are on that host: loopback addresses exist on every host.
    host: Option<u8>,
    local: SocketAddr,
    peer: SocketAddr,
}

/// Connections that exist at only one end, each as `host: local -> peer`.
pub(crate) fn one_sided<'a>(hosts: impl Iterator<Item = &'a Host>) -> Vec<String> {
    let ends: Vec<(u8, End)> =
        hosts.flat_map(|host| established(host).into_iter().map(|end| (host.number, end))).collect();
    let there: HashSet<&End> = ends.iter().map(|(_, end)| end).collect();
    let alone = ends.iter().filter(|(_, end)| !there.contains(&end.other()));
    alone.map(|(host, end)| format!("host {host}: {} -> {}", end.local, end.peer)).collect()
}

impl End {
    fn other(&self) -> Self {
        Self { host: self.host, local: self.peer, peer: self.local }
    }
}

fn established(host: &Host) -> Vec<End> {
    let mut command = host.command("ss");
    command.args(["-Htn", "state", "established"]);
    let output = process::succeed(command, Duration::from_secs(60)).expect("ss lists connections");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // Columns: receive queue, send queue, local address, peer address.
    let end = |line: &str| {
        let mut words = line.split_whitespace().skip(2);
        let (local, peer): (SocketAddr, SocketAddr) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let within = local.ip().is_loopback() || local.ip() == peer.ip();
        Some(End { host: within.then_some(host.number), local, peer })
    };
    text.lines().filter_map(end).collect()
}
