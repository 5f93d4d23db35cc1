//! Connecting to an upstream, with a permit and within a time limit.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Resolver, options};
use crate::limits::{UNIX_RETRY_FIRST, UNIX_RETRY_MOST};
use crate::policy::{Link, Permit};

/// A socket connected to an upstream, and the kind of link that the permit requires.
#[derive(Debug)]
pub struct DialledSocket<S> {
    /// The connected socket.
    pub socket: S,
    /// Whether the link is to be TLS or plaintext.
    pub link: Link,
    /// Our local address; `None` for a Unix socket.
    pub local: Option<SocketAddr>,
    /// The dialled address; `None` for a Unix socket.
    pub remote: Option<SocketAddr>,
}

/// Why an upstream is unreachable.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("the name does not resolve: {0}")]
    Resolve(io::Error),
    /// The connect failed; with several addresses, the connect to the last one.
    #[error("{0}")]
    Connect(io::Error),
    /// The time limit was reached.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
}

/// Connects by TCP, from `source` if given. Resolves the name and tries its addresses, all within `limit`. A connection
/// that is kept needs [`detect_dead_peer`](super::detect_dead_peer).
///
/// # Errors
/// [`DialError`] of the last address tried.
pub async fn dial(
    permit: Permit,
    resolver: &Resolver,
    source: Option<IpAddr>,
    limit: Duration,
) -> Result<DialledSocket<TcpStream>, DialError> {
    let deadline = Instant::now() + limit;
    // The time limit includes the wait for a query that another dial has started.
    let addresses = timeout_at(deadline, resolver.addresses(limit))
        .await
        .map_err(|_| DialError::TimedOut(limit))?
        .map_err(DialError::Resolve)?;
    let mut last = DialError::TimedOut(limit);
    for (tried, address) in addresses.iter().enumerate() {
        // Each address gets an equal share of the remaining time, so that an unreachable first address leaves time for
        // the next.
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let until = Instant::now() + (deadline - Instant::now()) / left;
        match timeout_at(until, connect(*address, source)).await {
            Ok(Ok((socket, local))) => {
                return Ok(DialledSocket { socket, link: permit.link(), local: Some(local), remote: Some(*address) });
            }
            Ok(Err(error)) => last = DialError::Connect(error),
            Err(_) => last = DialError::TimedOut(limit),
        }
    }
    Err(last)
}

/// Connects to a Unix domain socket.
///
/// # Errors
/// [`DialError`] if no connection is established within `limit`.
pub async fn dial_unix(permit: Permit, path: &Path, limit: Duration) -> Result<DialledSocket<UnixStream>, DialError> {
    let connect = async {
        let mut pause = UNIX_RETRY_FIRST;
        loop {
            match UnixStream::connect(path).await {
                // The accept queue is full. TCP would retry by itself; with a Unix socket the caller has to.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(pause).await,
                result => return result,
            }
            pause = (pause * 2).min(UNIX_RETRY_MOST);
        }
    };
    match timeout(limit, connect).await {
        Ok(Ok(socket)) => Ok(DialledSocket { socket, link: permit.link(), local: None, remote: None }),
        Ok(Err(error)) => Err(DialError::Connect(error)),
        Err(_) => Err(DialError::TimedOut(limit)),
    }
}

async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<(TcpStream, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    options::no_delay(&socket)?;
    // The first bytes are sent at once: a client's first bytes have arrived before its upstream is dialled.
    options::join_acknowledgement(&socket);
    if let Some(source) = source {
        // Lets the kernel choose the port at connect, when the destination is known. If it chose the port at bind, each
        // port would serve only one connection at a time, whatever its destination, and the ports would run out.
        if source.is_ipv4() {
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        }
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    let connected = begin(&socket, &address.into())?;
    let stream = TcpStream::from_std(socket.into())?;
    if !connected {
        stream.writable().await?;
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
    }
    let local = stream.local_addr()?;
    // If no process listens on a port of the ephemeral range, TCP may connect a socket to itself.
    if local.port() == address.port() && stream.peer_addr()? == local {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok((stream, local))
}

/// Starts a connect; returns true if the connection is established already. A server on this host accepts the
/// connection before the first call returns, but that call still reports the connect as in progress. The second call
/// reports success, so that no timer or wait is needed.
fn begin(socket: &Socket, address: &SockAddr) -> io::Result<bool> {
    for _ in 0..2 {
        match socket.connect(address) {
            Ok(()) => return Ok(true),
            Err(error)
                if [Errno::INPROGRESS, Errno::ALREADY]
                    .map(Errno::raw_os_error)
                    .contains(&error.raw_os_error().unwrap_or_default()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, TcpListener};
    use std::time::Duration;

    use socket2::SockRef;

    use super::{DialError, dial};
    use crate::limits::{KEEPALIVE_IDLE, USER_TIMEOUT};
    use crate::net::{HostPort, Resolver, detect_dead_peer};
    use crate::policy::{Acceptance, LinkRule, Mode, Opening, Permit, judge};

    fn permit() -> Permit {
        judge(Mode::Disabled, Acceptance::Terminate, LinkRule::Never, Opening::Plaintext).unwrap()
    }

    fn resolver(host: &str, port: u16) -> Resolver {
        Resolver::new(HostPort { host: host.into(), port })
    }

    #[tokio::test]
    async fn the_upstream_leg_has_the_options_and_the_source() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let source: IpAddr = "127.9.8.7".parse().unwrap();
        let second = Duration::from_secs(1);
        let dialled = dial(permit(), &resolver("127.0.0.1", port), Some(source), second).await.unwrap();
        assert_eq!(dialled.socket.local_addr().unwrap().ip(), source);
        let socket = SockRef::from(&dialled.socket);
        assert!(socket.tcp_nodelay().unwrap() && !socket.keepalive().unwrap());
        detect_dead_peer(&dialled.socket).unwrap();
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
    }

    #[tokio::test]
    async fn says_why_it_cannot() {
        let second = Duration::from_secs(1);
        // The socket is bound but does not listen: connections are refused, and no other test gets the port.
        let closed = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        closed.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let port = closed.local_addr().unwrap().as_socket().unwrap().port();
        let refused = dial(permit(), &resolver("127.0.0.1", port), None, second).await.unwrap_err();
        assert!(matches!(refused, DialError::Connect(_)), "{refused}");
        // A listener with a full accept queue does not answer.
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        full.listen(0).unwrap();
        let port = full.local_addr().unwrap().as_socket().unwrap().port();
        let _waiting = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let limit = Duration::from_millis(200);
        let late = dial(permit(), &resolver("127.0.0.1", port), None, limit).await.unwrap_err();
        assert_eq!(late.to_string(), "no answer within 0.2 s");
    }
}
