//! Connections to a transparent listener: where they were going, and which of them the kernel has not handed over.
//!
//! TPROXY hands a connection to a listener on another port and leaves the addresses in its packets alone: the accepted
//! socket's own address is the one that the client connected to. Whoever connects to the listener's own address has come
//! past the firewall's rules for the server's port, so that is refused, except from this host.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::net::{is_own, original_destination};

/// A connection that another host has made to the listener itself.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error(
    "not intercepted: it was made to tlsramp's own address {0} from another host; clients connect to the server's port, \
     from where the kernel hands them over"
)]
pub(super) struct NotIntercepted(SocketAddr);

/// The address that a connection was made to.
///
/// # Errors
/// [`NotIntercepted`] if that is the listener and the peer is not on this host.
pub(super) fn destination(
    listener: SocketAddr,
    socket: &TcpStream,
    peer: SocketAddr,
) -> Result<SocketAddr, NotIntercepted> {
    let local = socket.local_addr().unwrap_or(listener);
    // Rules of `tlsramp netfilter --redirect`, which rewrite addresses, may still be in force for a new transparent listener.
    judge(listener, local, || original_destination(socket).ok(), || is_own(peer.ip().to_canonical()))
}

/// As [`destination`], of what is known of the connection. The closures are system calls, made only if needed.
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
        // Listener, the socket's own address, where it was going before a redirect, whether it is from this host; then where
        // it was going, if it is not refused.
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
