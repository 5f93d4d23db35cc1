//! Name resolution for validation: addresses to listen on, and the check whether a route leads back to this proxy.
//! Each dial resolves its target's name anew, elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use crate::limits::MOST_ADDRESSES;

/// Resolves a host name or an IP address in text; empty if it has no address or the resolver fails.
pub(super) type Lookup = fn(&str) -> Vec<IpAddr>;

/// The system's resolver; at most [`MOST_ADDRESSES`] addresses. Blocks, for seconds if DNS is down.
pub(super) fn system(host: &str) -> Vec<IpAddr> {
    let addresses = (host, 0).to_socket_addrs().into_iter().flatten();
    addresses.map(|address| address.ip()).take(MOST_ADDRESSES).collect()
}

/// For each host, the addresses at which connections to it arrive; empty for a name that does not resolve. Names are
/// resolved in parallel, so that an unreachable resolver delays the start only once.
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

/// The address at which a connection to `ip` arrives: IPv4 for an IPv4-mapped address, loopback for the unspecified
/// one.
fn arrival(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => ip.to_canonical(),
    }
}
