//! Requests to the kernel by netlink(7): the socket, the header of a request, and the messages of an answer.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netlink::SOCK_DIAG;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};

/// Opens a socket for requests about sockets (`NETLINK_SOCK_DIAG`).
pub(super) fn sock_diag() -> io::Result<OwnedFd> {
    kernel(Some(SOCK_DIAG))
}

/// Opens a socket for requests about routes (`NETLINK_ROUTE`, whose number is 0).
pub(super) fn route() -> io::Result<OwnedFd> {
    kernel(None)
}

fn kernel(protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
    // The kernel answers at once. The timeout ensures that a bug here cannot block the caller.
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER))?;
    Ok(socket)
}

/// Writes the `struct nlmsghdr` of a request to the start of `request`, with the length of all of it.
pub(super) fn write_header(request: &mut [u8], kind: u16, flags: u16) {
    let length = u32::try_from(request.len()).unwrap_or(u32::MAX);
    for (at, byte) in length.to_ne_bytes().into_iter().chain(kind.to_ne_bytes()).chain(flags.to_ne_bytes()).enumerate()
    {
        if let Some(place) = request.get_mut(at) {
            *place = byte;
        }
    }
}

/// Reads a part of an answer and calls `take` with each message of the wanted kind. Returns true if the part contained
/// the end of the answer.
///
/// # Errors
/// The kernel's error, or an answer that is truncated.
pub(super) fn messages(mut bytes: &[u8], wanted: u16, mut take: impl FnMut(&[u8]) -> Option<()>) -> io::Result<bool> {
    while let Some((length, kind)) = header(bytes) {
        let message = bytes.get(HEADER_BYTES..length).ok_or(io::ErrorKind::InvalidData)?;
        match kind {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let number = message.first_chunk().map_or(0, |number| i32::from_ne_bytes(*number));
                return Err(io::Error::from_raw_os_error(number.saturating_neg()));
            }
            // A message that is too short for its struct is skipped.
            kind if kind == wanted => _ = take(message),
            _ => {}
        }
        // Messages are aligned to four bytes.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
    let kind = u16::from_ne_bytes(*rest.first_chunk()?);
    // A message is at least as long as its header; the next message follows it.
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
