//! Listening sockets: bound exclusively, so that a second instance fails to start, and shared by workers. No error ends
//! accepting.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

use super::options;
use crate::limits::{ACCEPT_BACKOFF_FIRST, ACCEPT_BACKOFF_MOST, LISTEN_BACKLOG};

/// Binds one listener per worker to the same address. The kernel distributes connections among them.
///
/// The first listener is bound without `SO_REUSEPORT`, so that it fails if any other process, another instance of
/// tlsramp included, uses the address. The option is set afterwards, so that the other listeners can bind too. With
/// port 0, the kernel chooses one port for all.
///
/// # Errors
/// The kernel's error: the address is in use or not an address of this host, or the port needs a privilege.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let first = socket(address)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    first.listen(LISTEN_BACKLOG)?;
    let first = TcpListener::from(first);
    let bound = first.local_addr()?;
    let more = (1..workers).map(|_| {
        let socket = socket(bound)?;
        socket.set_reuse_port(true)?;
        socket.bind(&bound.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        Ok(TcpListener::from(socket))
    });
    std::iter::once(Ok(first)).chain(more).collect()
}

/// Binds to an address without listening on it, and releases the address.
///
/// # Errors
/// As [`bind`].
pub(super) fn try_bind(address: SocketAddr) -> io::Result<()> {
    socket(address)?.bind(&address.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of a previous instance that are in TIME_WAIT must not prevent a start.
    socket.set_reuse_address(true)?;
    options::set(&socket)?;
    Ok(socket)
}

/// A listener on a worker's runtime.
#[derive(Debug)]
pub struct Listener {
    inner: tokio::net::TcpListener,
    backoff: Backoff,
}

/// The pause after accept failed. It grows with each failure in a row.
#[derive(Debug, Default)]
struct Backoff(Option<Duration>);

impl Listener {
    /// Registers a bound listener with the current runtime.
    ///
    /// # Errors
    /// If the runtime cannot register it.
    pub fn register(listener: TcpListener) -> io::Result<Listener> {
        Ok(Listener { inner: tokio::net::TcpListener::from_std(listener)?, backoff: Backoff::default() })
    }

    /// Accepts the next connection, and retries after every error. A connection that failed while it waited is skipped.
    /// After any other error, such as exhausted descriptors or memory, the next attempt follows after a pause.
    pub async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.inner.accept().await {
                Ok(accepted) => {
                    self.backoff = Backoff::default();
                    return accepted;
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    let pause = self.backoff.longer();
                    if pause == ACCEPT_BACKOFF_FIRST {
                        tracing::warn!(%error, "cannot accept connections, pausing; raise the descriptor limit if it \
                            is exhausted (ulimit -n, LimitNOFILE=)");
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

impl Backoff {
    /// Returns the next pause: 5 ms at first, doubling, at most a second.
    fn longer(&mut self) -> Duration {
        let pause = self.0.map_or(ACCEPT_BACKOFF_FIRST, |last| (last * 2).min(ACCEPT_BACKOFF_MOST));
        self.0 = Some(pause);
        pause
    }
}

/// Whether accept(2) returned an error of the waiting connection. The listener itself works.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable
    )
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::SocketAddr;

    use socket2::SockRef;

    use super::{Backoff, bind};
    use crate::limits::{KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, USER_TIMEOUT};

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn workers_share_a_port_that_a_second_instance_cannot_have() {
        let ours = bind(loopback(0), 3).unwrap();
        let port = ours[0].local_addr().unwrap().port();
        assert!(ours.iter().all(|listener| listener.local_addr().unwrap().port() == port));
        assert_eq!(bind(loopback(port), 3).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(ours);
        bind(loopback(port), 1).unwrap();
    }

    #[test]
    fn what_is_accepted_inherits_the_options() {
        let listener = bind(loopback(0), 1).unwrap().remove(0);
        listener.set_nonblocking(false).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let accepted = SockRef::from(&accepted);
        assert!(accepted.tcp_nodelay().unwrap());
        assert!(accepted.keepalive().unwrap());
        assert_eq!(accepted.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        assert_eq!(accepted.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(accepted.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        assert_eq!(accepted.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
    }

    #[test]
    fn pauses_grow_to_a_second() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..10).map(|_| backoff.longer().as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }
}
