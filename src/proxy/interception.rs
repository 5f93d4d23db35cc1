//! Connections to a transparent listener: determines their destination and detects those that TPROXY did not deliver.
//!
//! TPROXY delivers a connection to a listener on another port without rewriting the packets' addresses, so the local
//! address of the accepted socket is the address that the client connected to. A connection to the listener's own
//! address has bypassed the interception rules for the server's port, so it is refused, except from this host.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::net::{is_own, original_destination};

/// The error for a connection that another host made to the listener's own address.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error(
    "not intercepted: another host connected to tlsramp's own address {0}; clients must connect to the server's port, \
     from which the kernel delivers connections to tlsramp"
)]
pub(super) struct NotIntercepted(SocketAddr);

/// Returns the address that the client connected to.
///
/// # Errors
/// [`NotIntercepted`] if this is the listener's own address and the peer is not on this host.
pub(super) fn destination(
    listener: SocketAddr,
    socket: &TcpStream,
    peer: SocketAddr,
) -> Result<SocketAddr, NotIntercepted> {
    let local = socket.local_addr().unwrap_or(listener);
    // The original destination is asked for too: just after a change to TPROXY, rules of `tlsramp netfilter
    // --redirect`, which rewrite addresses, may still be in force.
    judge(listener, local, || original_destination(socket).ok(), || is_own(peer.ip().to_canonical()))
}

/// Like [`destination`], from the connection's addresses. The closures make system calls, so they are only called if
/// needed.
fn judge(
    listener: SocketAddr,
    local: SocketAddr,
    original: impl FnOnce() -> Option<SocketAddr>,
    is_from_here: impl FnOnce() -> bool,
) -> Result<SocketAddr, NotIntercepted> {
    let (listener, local) = (canonical(listener), canonical(local));
    let is_listener =
        local.port() == listener.port() && (listener.ip().is_unspecified() || local.ip() == listener.ip());
    if !is_listener {
        return Ok(local);
    }
    match original().map(canonical) {
        Some(original) if original != local => Ok(original),
        _ if is_from_here() => Ok(local),
        _ => Err(NotIntercepted(local)),
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::{NotIntercepted, judge};

    #[test]
    fn only_what_other_hosts_make_to_the_listener_itself_is_refused() {
        // The listener, the local address of the socket, the original destination of a redirected connection, whether
        // the peer is on this host; the expected destination, or `None` if the connection is refused.
        let rows = [
            ("0.0.0.0:27117", "10.0.0.1:27017", None, false, Some("10.0.0.1:27017")),
            ("[::]:27117", "[fd00::1]:27017", None, false, Some("[fd00::1]:27017")),
            ("[::]:27117", "[::ffff:10.0.0.1]:27017", None, false, Some("10.0.0.1:27017")),
            ("10.0.0.2:27017", "10.0.0.1:27017", None, false, Some("10.0.0.1:27017")),
            ("0.0.0.0:27117", "10.0.0.1:27117", None, false, None),
            ("0.0.0.0:27117", "10.0.0.1:27117", Some("10.0.0.1:27117"), false, None),
            ("10.0.0.1:27117", "10.0.0.1:27117", None, false, None),
            ("[::]:27117", "[::ffff:10.0.0.1]:27117", Some("10.0.0.1:27117"), false, None),
            ("[::]:27117", "[fd00::1]:27117", None, false, None),
            ("0.0.0.0:27117", "10.0.0.1:27117", Some("10.0.0.1:27017"), false, Some("10.0.0.1:27017")),
            ("0.0.0.0:27117", "10.0.0.1:27117", None, true, Some("10.0.0.1:27117")),
            ("[::]:27117", "[::1]:27117", None, true, Some("[::1]:27117")),
        ];
        for (listener, local, original, is_from_here, expected) in rows {
            let [listener, local] = [listener, local].map(|text| text.parse().unwrap());
            let original = || original.map(|text| text.parse().unwrap());
            let found = judge(listener, local, original, || is_from_here);
            let refused = NotIntercepted(super::canonical(local));
            assert_eq!(found, expected.map(|text| text.parse().unwrap()).ok_or(refused), "{listener} {local}");
        }
    }
}
