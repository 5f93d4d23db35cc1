//! Questions to the kernel by netlink(7): the socket, the header of a request, and the messages of an answer.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netlink::SOCK_DIAG;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};

/// A socket for questions about sockets (`NETLINK_SOCK_DIAG`).
pub(super) fn sock_diag() -> io::Result<OwnedFd> {
    kernel(Some(SOCK_DIAG))
}

/// A socket for questions about routes (`NETLINK_ROUTE`, which has the number 0).
pub(super) fn route() -> io::Result<OwnedFd> {
    kernel(None)
}

fn kernel(protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
    // The kernel answers at once; a mistake here is not to hang whoever asks.
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER))?;
    Ok(socket)
}

/// Writes the `struct nlmsghdr` of a request that fills `request`.
pub(super) fn write_header(request: &mut [u8], kind: u16, flags: u16) {
    let length = u32::try_from(request.len()).unwrap_or(u32::MAX);
    for (at, byte) in length.to_ne_bytes().into_iter().chain(kind.to_ne_bytes()).chain(flags.to_ne_bytes()).enumerate()
    {
        if let Some(place) = request.get_mut(at) {
            *place = byte;
        }
    }
}

/// Reads one answer of several messages, and takes those of the kind that was asked for; true if it was the last.
///
/// # Errors
/// The kernel's own, or an answer that is cut short.
pub(super) fn messages(mut bytes: &[u8], wanted: u16, mut take: impl FnMut(&[u8]) -> Option<()>) -> io::Result<bool> {
    while let Some((length, kind)) = header(bytes) {
        let message = bytes.get(HEADER_BYTES..length).ok_or(io::ErrorKind::InvalidData)?;
        match kind {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let number = message.first_chunk().map_or(0, |number| i32::from_ne_bytes(*number));
                return Err(io::Error::from_raw_os_error(number.saturating_neg()));
            }
            // One that is cut short is left out.
            kind if kind == wanted => _ = take(message),
            _ => {}
        }
        // Messages begin at multiples of four.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
    let kind = u16::from_ne_bytes(*rest.first_chunk()?);
    // No shorter than itself: the next is behind it.
    (length >= HEADER_BYTES).then_some((length, kind))
}

/// `NLM_F_REQUEST`.
pub(super) const REQUEST: u16 = 1;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
pub(super) const REQUEST_AND_DUMP: u16 = 0x301;
pub(super) const HEADER_BYTES: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const ANSWER: Duration = Duration::from_secs(1);
