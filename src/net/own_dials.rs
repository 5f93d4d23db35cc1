//! Loop detection: the connections that this process has dialled and that no server has answered yet. If such a
//! connection arrives at a listener of this process, it has gone in a loop, whatever names, addresses and firewall
//! rules led to that.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::policy::Acceptance;

/// All unanswered dials, by local and remote address: two connections to different servers may have the same local
/// port. Clones share the same table. It has at most one entry per dial in progress, which the connection slots limit.
#[derive(Debug, Clone, Default)]
pub struct OwnDials(Arc<Mutex<DialTable>>);

type DialTable = BTreeMap<(SocketAddr, SocketAddr), Acceptance>;

/// A recorded dial; dropping it removes its entry from the table. It has to be dropped at the first answer from the
/// server: if the connection leads to a listener of ours, that listener gives its verdict before it answers. So an idle
/// connection has no entry.
#[derive(Debug)]
pub struct OwnDial {
    dials: OwnDials,
    ends: (SocketAddr, SocketAddr),
}

impl OwnDials {
    /// Records a dial of a route, before any byte is sent on it.
    #[must_use]
    pub fn note(&self, local: SocketAddr, remote: SocketAddr, route: Acceptance) -> OwnDial {
        let ends = (canonical(local), canonical(remote));
        self.table().insert(ends, route);
        OwnDial { dials: self.clone(), ends }
    }

    /// Whether a connection from `peer` to a listener with this acceptance has gone in a loop. `reached` returns the
    /// addresses to which the connection was made; it is called only if `peer` is the local address of a dial. A mongod
    /// that dials its own name goes out by an outbound route and in again by an inbound one; that alone is not a loop.
    pub fn is_loop(
        &self,
        peer: SocketAddr,
        listener: Acceptance,
        reached: impl FnOnce() -> [Option<SocketAddr>; 2],
    ) -> bool {
        let peer = canonical(peer);
        let table = self.table();
        let from_peer = table.range((peer, LOWEST)..).take_while(|((local, _), _)| *local == peer);
        let mut from_peer = from_peer.map(|((_, remote), route)| (*remote, *route)).peekable();
        if from_peer.peek().is_none() {
            return false;
        }
        let reached = reached().map(|address| address.map(canonical));
        from_peer.any(|(remote, route)| {
            reached.contains(&Some(remote)) && (route != Acceptance::Outbound || listener == Acceptance::Outbound)
        })
    }

    fn table(&self) -> MutexGuard<'_, DialTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OwnDial {
    fn drop(&mut self) {
        self.dials.table().remove(&self.ends);
    }
}

/// Converts IPv4-mapped addresses, as IPv6 sockets report them, to IPv4 addresses.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Sorts before all other addresses.
const LOWEST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::OwnDials;
    use crate::policy::Acceptance::{Outbound, Passthrough, Terminate};

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn circles_and_the_dial_of_a_server_to_itself() {
        let dials = OwnDials::default();
        let (one, mapped) = (address("10.0.0.1:5"), address("[::ffff:10.0.0.1]:5"));
        let listener = address("10.0.0.9:27017");
        let is_loop = |acceptance| dials.is_loop(one, acceptance, || [Some(listener), None]);
        assert!(!is_loop(Terminate), "somebody else's connection");
        for (dialled, accepting, expected) in [
            (Terminate, Terminate, true),
            (Terminate, Outbound, true),
            (Passthrough, Passthrough, true),
            (Outbound, Terminate, false),
            (Outbound, Passthrough, false),
            (Outbound, Outbound, true),
        ] {
            let _dial = dials.note(mapped, listener, dialled);
            assert_eq!(is_loop(accepting), expected, "{dialled:?} {accepting:?}");
        }
        assert!(!is_loop(Terminate) && dials.table().is_empty(), "each entry ends with its dial");
    }

    /// A client on this host may have the same local port as one of our dials to another server.
    #[test]
    fn another_connection_from_the_same_port_is_none() {
        let dials = OwnDials::default();
        let (local, listener) = (address("127.0.0.1:40000"), address("127.0.0.1:27017"));
        let _other = dials.note(local, address("127.0.0.1:27018"), Terminate);
        assert!(!dials.is_loop(local, Terminate, || [Some(listener), None]));
        // The original destination is compared too, in case the kernel has redirected the connection.
        assert!(dials.is_loop(local, Terminate, || [Some(listener), Some(address("127.0.0.1:27018"))]));
        let _own = dials.note(local, listener, Terminate);
        assert!(dials.is_loop(local, Terminate, || [Some(listener), None]));
    }
}
