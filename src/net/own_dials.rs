//! The connections that this process has dialled and that no server has answered yet. One of them that arrives at one of
//! its own listeners has gone in a circle, whatever names, addresses and firewall rules have led it there.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::policy::Acceptance;

/// All of them, by our own address. Clones are the same table. It has no more entries than there are dials under way,
/// which the connection slots bound.
#[derive(Debug, Clone, Default)]
pub struct OwnDials(Arc<Mutex<HashMap<SocketAddr, Acceptance>>>);

/// One of them. It is to be dropped at the first answer: a listener of ours would have judged the connection by then. So
/// an idle connection has no entry.
#[derive(Debug)]
pub struct OwnDial {
    dials: OwnDials,
    local: SocketAddr,
}

impl OwnDials {
    /// Notes a dial of a route, before a byte goes out on it.
    #[must_use]
    pub fn note(&self, local: SocketAddr, route: Acceptance) -> OwnDial {
        let local = canonical(local);
        self.table().insert(local, route);
        OwnDial { dials: self.clone(), local }
    }

    /// The acceptance of the route that has dialled the connection from `peer`, if one has.
    #[must_use]
    pub fn made(&self, peer: SocketAddr) -> Option<Acceptance> {
        self.table().get(&canonical(peer)).copied()
    }

    /// Whether a connection from `peer` to a listener with this acceptance has gone in a circle. A mongod that dials its
    /// own name goes out by an outbound route and in again by an inbound one: that is none yet.
    #[must_use]
    pub fn is_loop(&self, peer: SocketAddr, listener: Acceptance) -> bool {
        self.made(peer).is_some_and(|dialled| dialled != Acceptance::Outbound || listener == Acceptance::Outbound)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<SocketAddr, Acceptance>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OwnDial {
    fn drop(&mut self) {
        self.dials.table().remove(&self.local);
    }
}

/// IPv4 addresses as such: an IPv6 socket has them mapped.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::OwnDials;
    use crate::policy::Acceptance::{Outbound, Passthrough, Terminate};

    #[test]
    fn circles_and_the_dial_of_a_server_to_itself() {
        let dials = OwnDials::default();
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (one, mapped) = (address("10.0.0.1:5"), address("[::ffff:10.0.0.1]:5"));
        assert!(!dials.is_loop(one, Terminate), "somebody else's connection");
        for (dialled, listener, is_loop) in [
            (Terminate, Terminate, true),
            (Terminate, Outbound, true),
            (Passthrough, Passthrough, true),
            (Outbound, Terminate, false),
            (Outbound, Passthrough, false),
            (Outbound, Outbound, true),
        ] {
            let _dial = dials.note(mapped, dialled);
            assert_eq!(dials.is_loop(one, listener), is_loop, "{dialled:?} {listener:?}");
        }
        assert_eq!(dials.made(one), None, "each entry ends with its dial");
    }
}
