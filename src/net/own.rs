//! Detection of this host's own addresses by the kernel's routes (rtnetlink(7)).

use std::io;
use std::net::{IpAddr, UdpSocket};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, recv, send};

use super::netlink::{HEADER_BYTES, REQUEST, messages, route, write_header};

/// Whether an address belongs to this host, i.e. the kernel delivers packets for it locally. No packet is sent. The
/// check takes a socket and one request to the kernel.
///
/// Binding a socket to the address is less reliable: with `net.ipv4.ip_nonlocal_bind` any address can be bound, and a
/// link-local address needs a scope. So binding is only the fallback, if the kernel's routes cannot be queried.
pub fn is_own(ip: IpAddr) -> bool {
    if ip.is_unspecified() || ip.is_multicast() {
        return false;
    }
    is_routed_here(ip).unwrap_or_else(|_| UdpSocket::bind((ip, 0)).is_ok())
}

/// # Errors
/// If the kernel's routes cannot be queried.
fn is_routed_here(ip: IpAddr) -> io::Result<bool> {
    let socket = route()?;
    send(&socket, &request(ip), SendFlags::empty())?;
    let mut buffer = [0; ANSWER_BYTES];
    let (count, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
    let mut kind = None;
    let answer = messages(&buffer[..count], RTM_NEWROUTE, |message| {
        kind = message.get(TYPE_AT).copied();
        Some(())
    });
    match (answer, kind) {
        (Ok(_), Some(kind)) => Ok(kind == RTN_LOCAL),
        (Ok(_), None) => Err(io::ErrorKind::InvalidData.into()),
        // The kernel does not support route queries. All other errors mean that no route leads to the address.
        (Err(error), _) if error.kind() == io::ErrorKind::Unsupported => Err(error),
        (Err(_), _) => Ok(false),
    }
}

/// Builds a request of `struct nlmsghdr`, `struct rtmsg` and the address as `RTA_DST`.
fn request(ip: IpAddr) -> Vec<u8> {
    let (family, octets) = match ip {
        IpAddr::V4(v4) => (AddressFamily::INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (AddressFamily::INET6, v6.octets().to_vec()),
    };
    let mut request = vec![0; HEADER_BYTES + ROUTE_BYTES];
    request[HEADER_BYTES] = u8::try_from(family.as_raw()).unwrap_or_default();
    request[HEADER_BYTES + 1] = u8::try_from(octets.len() * 8).unwrap_or_default();
    let length = u16::try_from(ATTRIBUTE_BYTES + octets.len()).unwrap_or_default();
    request.extend(length.to_ne_bytes());
    request.extend(RTA_DST.to_ne_bytes());
    request.extend(octets);
    write_header(&mut request, RTM_GETROUTE, REQUEST);
    request
}

/// Size of `struct rtmsg`.
const ROUTE_BYTES: usize = 12;
/// Offset of `rtm_type` in `struct rtmsg`.
const TYPE_AT: usize = 7;
/// Size of the header of a `struct rtattr`.
const ATTRIBUTE_BYTES: usize = 4;
/// One route takes a few hundred bytes. A longer answer loses only its last attributes, which are not read.
const ANSWER_BYTES: usize = 4096;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTN_LOCAL: u8 = 2;
const RTA_DST: u16 = 1;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{is_own, is_routed_here};

    #[test]
    fn own_addresses() {
        for (ip, own) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("192.0.2.1", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("127.255.255.255", false),
            ("2001:db8::1", false),
            ("fe80::1234:5678", false),
            ("ff02::1", false),
            ("::", false),
        ] {
            assert_eq!(is_own(ip.parse::<IpAddr>().unwrap()), own, "{ip}");
        }
    }

    #[test]
    fn the_kernel_is_asked_and_its_no_is_an_answer() {
        for (ip, own) in [("127.0.0.1", true), ("192.0.2.1", false), ("2001:db8::1", false), ("fe80::12", false)] {
            assert_eq!(is_routed_here(ip.parse().unwrap()).ok(), Some(own), "{ip}");
        }
    }
}
