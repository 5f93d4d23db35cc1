//! Connections that the kernel has redirected (REDIRECT) or handed over (TPROXY): transparent sockets and original
//! destinations.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;

/// The addresses at which redirected connections arrive: netfilter redirects connections of local processes to the
/// loopback address of their family.
pub const TRANSPARENT_IPS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Returns the original destination of a connection, before the kernel redirected it (`SO_ORIGINAL_DST`,
/// `IP6T_SO_ORIGINAL_DST`). For a connection that was not redirected, this is its local address.
///
/// # Errors
/// If the kernel does not track connections. Then it cannot have redirected any either.
pub fn original_destination(socket: &TcpStream) -> io::Result<SocketAddr> {
    let reference = SockRef::from(socket);
    let original = match socket.local_addr()? {
        SocketAddr::V4(_) => reference.original_dst_v4()?,
        SocketAddr::V6(_) => reference.original_dst_v6()?,
    };
    original.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Sets `IP_TRANSPARENT` or `IPV6_TRANSPARENT` on a listener, so that TPROXY rules may hand over connections to it. A
/// listener that has the option already, as one from a service manager may, is not changed; this needs no capability.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] without `CAP_NET_RAW` or `CAP_NET_ADMIN` (ip(7)).
pub fn make_transparent(listener: &TcpListener) -> io::Result<()> {
    if is_transparent(listener)? {
        Ok(())
    } else {
        set_transparent(&SockRef::from(listener), listener.local_addr()?.ip())
    }
}

/// Whether a listener has `IP_TRANSPARENT` or `IPV6_TRANSPARENT`.
///
/// # Errors
/// If the kernel does not report the option.
pub fn is_transparent(listener: &TcpListener) -> io::Result<bool> {
    let socket = SockRef::from(listener);
    match listener.local_addr()?.ip() {
        IpAddr::V4(_) => socket.ip_transparent_v4(),
        IpAddr::V6(_) => socket.ip_transparent_v6(),
    }
}

/// Checks whether this process may make a listener of this address family transparent.
///
/// # Errors
/// As [`make_transparent`].
pub fn try_transparent(ip: IpAddr) -> io::Result<()> {
    let domain = Domain::for_address(SocketAddr::new(ip, 0));
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    set_transparent(&SockRef::from(&socket), ip)
}

fn set_transparent(socket: &SockRef<'_>, ip: IpAddr) -> io::Result<()> {
    match ip {
        IpAddr::V4(_) => socket.set_ip_transparent_v4(true),
        IpAddr::V6(_) => socket.set_ip_transparent_v6(true),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::original_destination;

    #[tokio::test]
    async fn what_was_not_redirected_was_going_where_it_arrived() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        // A kernel without connection tracking returns an error.
        assert!(
            original_destination(&accepted).is_ok_and(|original| original == address)
                || original_destination(&accepted).is_err()
        );
    }
}
