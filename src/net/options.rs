//! Socket options of both legs: no delay, and detection of a dead peer. The proxy must not hide what the two ends would
//! have observed of each other.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::limits::{KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, USER_TIMEOUT};

/// Sets the options of a listener. Accepted connections inherit them (tcp(7)), at no cost per connection.
pub(super) fn set(listener: &impl AsFd) -> io::Result<()> {
    SockRef::from(listener).set_tcp_nodelay(true)?;
    detect_dead_peer(listener)
}

/// Sends every segment at once.
pub(super) fn no_delay(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_tcp_nodelay(true)
}

/// Lets TCP end the connection if the peer is dead: keepalive while it is idle, and a time limit for acknowledgements.
/// Both count from the last segment received, also if they are set later.
///
/// # Errors
/// The connection is gone.
pub fn detect_dead_peer(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// Lets the first acknowledgement of a dialled connection be sent with the first bytes, or, without any, after the
/// delayed acknowledgement timeout (about 40 ms). This saves a packet, and the server is woken once instead of twice.
/// Only for sockets that are written to at once.
pub(super) fn join_acknowledgement(socket: &impl AsFd) {
    // If the kernel does not support this, it sends one packet more.
    let _ = SockRef::from(socket).set_tcp_quickack(false);
}

/// Makes the following close send a reset, so that a reset by one peer is passed on to the other.
pub fn abort_on_close(socket: &impl AsFd) {
    // Setting the option fails only if the connection is gone, and then no reset is needed.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
