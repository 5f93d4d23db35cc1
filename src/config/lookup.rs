//! Names to addresses, for what has to be known before anything runs: where to listen, and whether a route leads
//! back to ourselves. The dialler resolves for itself, later and again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use crate::limits::MOST_ADDRESSES;

/// Resolves a host, by name or number; nothing if it has no address or the resolver fails.
pub(super) type Lookup = fn(&str) -> Vec<IpAddr>;

/// The system's resolver. Blocks for as long as that takes, seconds when DNS is down; at most
/// [`MOST_ADDRESSES`] addresses.
pub(super) fn system(host: &str) -> Vec<IpAddr> {
    let addresses = (host, 0).to_socket_addrs().into_iter().flatten();
    addresses.map(|address| address.ip()).take(MOST_ADDRESSES).collect()
}

/// Where connections to several hosts arrive. Names are asked for at the same time, so that a dead resolver costs
/// one wait, not one each; one that does not resolve arrives nowhere.
pub(super) fn all(hosts: &[&str], lookup: Lookup) -> Vec<Vec<IpAddr>> {
    std::thread::scope(|scope| {
        let ask = |host: &str| {
            let host = host.to_owned();
            std::thread::Builder::new().spawn_scoped(scope, move || lookup(&host)).ok()
        };
        let asked = hosts.iter().map(|host| host.parse().map_err(|_| ask(host))).collect::<Vec<Result<IpAddr, _>>>();
        let addresses = asked.into_iter().map(|asked| match asked {
            Ok(ip) => vec![ip],
            Err(thread) => thread.and_then(|thread| thread.join().ok()).unwrap_or_default(),
        });
        addresses.map(|found| found.into_iter().map(arrival).collect()).collect()
    })
}

/// Where a connection to an address arrives: IPv4 in IPv6 is IPv4, and the unspecified address is this host.
fn arrival(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => ip.to_canonical(),
    }
}
