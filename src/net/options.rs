//! Socket options of both legs: no delay, and a dead peer is noticed. The proxy must not hide what the two ends
//! would have seen of each other.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::limits::{KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, USER_TIMEOUT};

/// Sets them. On a listener they are inherited by what it accepts (tcp(7)), at no cost per connection.
pub(super) fn set(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// Lets the first acknowledgement of a dial go out with the first bytes, at the end of the delay for acknowledgements
/// (some 40 ms) if there are none: a packet less, and the server is woken once and not twice. For sockets that are
/// written to at once.
pub(super) fn join_acknowledgement(socket: &impl AsFd) {
    // A kernel that does not, sends one more packet.
    let _ = SockRef::from(socket).set_tcp_quickack(false);
}

/// Makes the coming close a reset: what one peer did to us is passed on to the other.
pub fn abort_on_close(socket: &impl AsFd) {
    // It fails on a socket that is gone already, which is as good.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
