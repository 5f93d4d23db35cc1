//! Writes to the sink of a relay.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use tokio::io::AsyncWrite;

use super::ends::RelayStream;

/// Writes as many of the first bytes as the sink's socket accepts at once, and returns their number. A socket that has
/// just connected is writable, but tokio learns that only at its next turn; until then, the bytes would have to be
/// kept.
pub(super) fn offer<W: RelayStream>(sink: &W, bytes: &[u8]) -> io::Result<usize> {
    let Some(socket) = sink.bare() else { return Ok(0) };
    match send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        sent => Ok(sent?),
    }
}

/// Writes the bytes from `taken` on until all are written.
pub(super) fn poll_put<W: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    sink: &mut W,
    bytes: &[u8],
    taken: &mut usize,
) -> Poll<io::Result<()>> {
    while *taken < bytes.len() {
        match ready!(Pin::new(&mut *sink).poll_write(cx, &bytes[*taken..]))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => *taken += count,
        }
    }
    Poll::Ready(Ok(()))
}
