//! The established TCP connections and the listeners of this host, or of its network namespace, queried as `ss` does
//! (sock_diag(7)).
//!
//! `/proc/net/tcp` lists them as well, but also every connection in TIME_WAIT: tens of thousands on a busy host, each
//! formatted and parsed as text. With sock_diag(7), the kernel filters these out.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, recv, send};

use super::netlink::{REQUEST, REQUEST_AND_DUMP, messages, sock_diag, write_header};

/// A TCP connection of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Established {
    /// The local address.
    pub local: SocketAddr,
    /// The remote address.
    pub remote: SocketAddr,
    /// The inode number of the socket, which `/proc/PID/fd` shows for the process that owns it.
    pub inode: u64,
    /// Whether the socket has `IP_TRANSPARENT`, as connections accepted on a transparent listener have. False if the
    /// kernel does not report it (before Linux 5.10).
    pub transparent: bool,
}

/// A TCP listener of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listening {
    /// Its address and port.
    pub local: SocketAddr,
    /// Whether the listener accepts IPv6 only. A listener on `::` without this option accepts IPv4 too.
    pub v6_only: bool,
    /// Whether it has `IP_TRANSPARENT`; `None` if the kernel does not report it (before Linux 5.10).
    pub transparent: Option<bool>,
}

/// Returns all listeners, IPv4 and IPv6.
///
/// # Errors
/// As [`established`].
pub fn listening() -> io::Result<Vec<Listening>> {
    let mut found = Vec::new();
    dump_all(TCP_LISTEN, |message| {
        let local = connection(message)?.local;
        let v6_only = first_byte(message, INET_DIAG_SKV6ONLY) == Some(1);
        found.push(Listening { local, v6_only, transparent: is_transparent(message) });
        Some(())
    })?;
    Ok(found)
}

/// Returns the established connections for which `keep` returns true, IPv4 and IPv6. A busy host has tens of thousands;
/// apart from the returned ones, only one part of the kernel's answer is held in memory at a time.
///
/// # Errors
/// If the kernel does not answer: without `inet_diag`, or with a seccomp filter.
pub fn established(mut keep: impl FnMut(&Established) -> bool) -> io::Result<Vec<Established>> {
    let mut found = Vec::new();
    dump_all(TCP_ESTABLISHED, |message| {
        found.extend(connection(message).filter(&mut keep));
        Some(())
    })?;
    Ok(found)
}

/// Calls `take` with the `struct inet_diag_msg` of each socket in a state, IPv4 and IPv6.
fn dump_all(state: u32, mut take: impl FnMut(&[u8]) -> Option<()>) -> io::Result<()> {
    for family in [AddressFamily::INET, AddressFamily::INET6] {
        let socket = sock_diag()?;
        send(&socket, &dump(family, state), SendFlags::empty())?;
        let mut buffer = vec![0; ANSWER_BYTES];
        loop {
            let (count, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
            if messages(&buffer[..count], SOCK_DIAG_BY_FAMILY, &mut take)? {
                break;
            }
        }
    }
    Ok(())
}

/// Returns how many sent bytes of a connection are not acknowledged yet. An end of stream counts as one byte.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] if the connection does not exist any more; other errors if the kernel does not answer.
pub fn unacknowledged(local: SocketAddr, remote: SocketAddr) -> io::Result<u32> {
    let socket = sock_diag()?;
    send(&socket, &exactly(local, remote), SendFlags::empty())?;
    let mut buffer = [0; 1024];
    let (count, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
    let mut waiting = None;
    messages(&buffer[..count], SOCK_DIAG_BY_FAMILY, |message| {
        waiting = message.get(60..)?.first_chunk().copied();
        Some(())
    })?;
    waiting.map(u32::from_ne_bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Builds a request for all sockets of a family in a state.
fn dump(family: AddressFamily, state: u32) -> [u8; REQUEST_BYTES] {
    let mut request = request(family, REQUEST_AND_DUMP);
    request[20..24].copy_from_slice(&(1_u32 << state).to_ne_bytes());
    request
}

/// Builds a request for one socket in any state.
fn exactly(local: SocketAddr, remote: SocketAddr) -> [u8; REQUEST_BYTES] {
    let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let mut request = request(family, REQUEST);
    for (end, port, ip) in [(local, 24, 28), (remote, 26, 44)] {
        request[port..port + 2].copy_from_slice(&end.port().to_be_bytes());
        match end.ip() {
            IpAddr::V4(v4) => request[ip..ip + 4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => request[ip..ip + 16].copy_from_slice(&v6.octets()),
        }
    }
    request[64..].fill(ANY_COOKIE);
    request
}

/// Builds a request of `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn request(family: AddressFamily, flags: u16) -> [u8; REQUEST_BYTES] {
    let mut request = [0; REQUEST_BYTES];
    write_header(&mut request, SOCK_DIAG_BY_FAMILY, flags);
    request[16] = u8::try_from(family.as_raw()).unwrap_or_default();
    request[17] = IPPROTO_TCP;
    request
}

/// Parses a `struct inet_diag_msg`.
fn connection(message: &[u8]) -> Option<Established> {
    let (&family, ports) = (message.first()?, message.get(4..8)?);
    let port = |at: usize| Some(u16::from_be_bytes(*ports.get(at..)?.first_chunk()?));
    let ip = |at: usize| {
        let bytes: &[u8; 16] = message.get(at..)?.first_chunk()?;
        let v4 = || bytes.first_chunk::<4>().map(|v4| IpAddr::V4(Ipv4Addr::from(*v4)));
        if u16::from(family) == AddressFamily::INET.as_raw() { v4() } else { Some(IpAddr::V6(Ipv6Addr::from(*bytes))) }
    };
    let inode = u32::from_ne_bytes(*message.get(68..)?.first_chunk()?);
    let (local, remote) = (SocketAddr::new(ip(8)?, port(0)?), SocketAddr::new(ip(24)?, port(2)?));
    Some(Established { local, remote, inode: inode.into(), transparent: is_transparent(message) == Some(true) })
}

fn is_transparent(message: &[u8]) -> Option<bool> {
    first_byte(message, INET_DIAG_SOCKOPT).map(|options| options & SOCKOPT_TRANSPARENT != 0)
}

/// Returns the first byte of an attribute. The attributes follow `struct inet_diag_msg`.
fn first_byte(message: &[u8], wanted: u16) -> Option<u8> {
    let mut rest = message.get(DIAG_BYTES..)?;
    loop {
        let (length, kind) =
            (u16::from_ne_bytes(*rest.first_chunk()?), u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?));
        if kind == wanted {
            return rest.get(4..usize::from(length))?.first().copied();
        }
        // An attribute is at least as long as its own header; the next one follows it.
        rest = rest.get(usize::from(length).max(4).next_multiple_of(4)..)?;
    }
}

/// Size of `struct inet_diag_msg`.
const DIAG_BYTES: usize = 72;
const REQUEST_BYTES: usize = 72;
/// The kernel's buffer for an answer is not larger.
const ANSWER_BYTES: usize = 32 * 1024;
/// Value of every byte of `INET_DIAG_NOCOOKIE`.
const ANY_COOKIE: u8 = 0xff;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const IPPROTO_TCP: u8 = 6;
const TCP_ESTABLISHED: u32 = 1;
const TCP_LISTEN: u32 = 10;
const INET_DIAG_SKV6ONLY: u16 = 11;
const INET_DIAG_SOCKOPT: u16 = 22;
/// Bit of the `transparent` field, the sixth bit field of `struct inet_diag_sockopt`.
const SOCKOPT_TRANSPARENT: u8 = if cfg!(target_endian = "little") { 1 << 5 } else { 1 << 2 };

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use proptest::prelude::{any, proptest};
    use socket2::{Domain, Socket, Type};

    use super::{connection, established, first_byte, listening, messages, unacknowledged};

    #[test]
    fn finds_a_connection_and_whose_it_is() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A kernel without IPv6 has no IPv6 listeners.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (local, remote) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
            let held = std::fs::read_link(format!("/proc/self/fd/{}", client.as_raw_fd())).unwrap();
            let ours = established(|one| (one.local, one.remote) == (local, remote)).unwrap();
            assert_eq!(ours.len(), 1, "{address}");
            assert_eq!(held.to_str().unwrap(), format!("socket:[{}]", ours[0].inode));
            assert_eq!(established(|one| (one.remote, one.local) == (local, remote)).unwrap().len(), 1, "{address}");
        }
    }

    #[test]
    fn finds_a_listener_and_its_options() {
        for (address, v6_only) in [("127.0.0.1:0", false), ("[::1]:0", true), ("[::]:0", true), ("[::]:0", false)] {
            let address: SocketAddr = address.parse().unwrap();
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
            if address.is_ipv6() {
                socket.set_only_v6(v6_only).unwrap();
            }
            socket.bind(&address.into()).unwrap();
            socket.listen(1).unwrap();
            let local = socket.local_addr().unwrap().as_socket().unwrap();
            let found: Vec<_> = listening().unwrap().into_iter().filter(|one| one.local == local).collect();
            assert_eq!(found.len(), 1, "{local}");
            assert_eq!(found[0].v6_only, v6_only, "{local}");
            assert_ne!(found[0].transparent, Some(true), "{local}");
        }
    }

    #[test]
    fn knows_what_is_not_acknowledged() {
        for address in ["127.0.0.1:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, _) = listener.accept().unwrap();
            let (local, remote) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
            assert_eq!(unacknowledged(local, remote).unwrap(), 0, "{address}");
            client.set_nonblocking(true).unwrap();
            // Send more bytes than the peer's kernel buffers while its process does not read.
            while client.write(&[0; 1 << 16]).is_ok() {}
            assert!(unacknowledged(local, remote).unwrap() > 0, "{address}");
            drop((server, client));
            let error = unacknowledged(local, remote).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{address}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_to_its_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = messages(&bytes, 20, |message| connection(message).map(drop));
            let _ = (connection(&bytes), first_byte(&bytes, 11));
        }
    }
}
