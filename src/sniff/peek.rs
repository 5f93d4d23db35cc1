//! Waits for an opening with `MSG_PEEK`: every byte stays in the kernel, so no replay buffer is needed.
//!
//! Two properties of peeking under tokio determine the loop. First, a peek that returns bytes leaves the socket
//! "ready", so a peek whose bytes do not suffice must report `WouldBlock`; otherwise the next wait returns at once, and
//! the loop spins. Second, a peek does not show the end of stream behind buffered bytes, and tokio never clears
//! `READ_CLOSED`, so one byte followed by FIN would be peeked for ever. Therefore the readiness is checked for the end
//! of stream after each undecided peek.

use std::io;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::{Class, ClientHello, classify};
use crate::limits::PEEK_BYTES;
use crate::policy::Opening;

/// A classified opening.
#[derive(Debug)]
pub struct Sniffed {
    /// The class of the opening.
    pub opening: Opening,
    /// The parsed ClientHello, if the opening is TLS.
    pub hello: Option<ClientHello>,
}

/// Why a connection has no opening. Such a connection is never forwarded.
#[derive(Debug, thiserror::Error)]
pub enum SniffError {
    /// The client closed the connection without sending a byte, as health probes do.
    #[error("the client closed the connection without sending a byte")]
    Silent,
    /// The client closed the connection in the middle of an opening.
    #[error("the client closed the connection after {0} bytes, before its opening was complete")]
    Truncated(usize),
    /// The time limit was reached.
    #[error("the opening was not complete within the sniff timeout ({0} bytes received)")]
    TimedOut(usize),
    /// The socket reported an error.
    #[error("{0}")]
    Socket(#[from] io::Error),
}

/// Waits for the first byte, without a time limit unless `close_silent` is set, and then at most `limit` for the rest
/// of the opening. Uses no CPU while nothing arrives.
///
/// # Errors
/// [`SniffError`]; the caller must close the connection.
pub async fn sniff(stream: &TcpStream, limit: Duration, close_silent: bool) -> Result<Sniffed, SniffError> {
    let mut deadline = close_silent.then(|| Instant::now() + limit);
    let mut seen = 0;
    loop {
        let ready = match deadline {
            None => stream.ready(Interest::READABLE).await?,
            Some(deadline) => timeout_at(deadline, stream.ready(Interest::READABLE))
                .await
                .map_err(|_| SniffError::TimedOut(seen))??,
        };
        match stream.try_io(Interest::READABLE, || peek(stream, &mut seen)) {
            Ok(sniffed) => return sniffed.ok_or(SniffError::Silent),
            // Health checkers may reset a connection instead of closing it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && seen == 0 => {
                return Err(SniffError::Silent);
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) if ready.is_read_closed() && seen > 0 => return Err(SniffError::Truncated(seen)),
            // Readiness may be spurious, so the time limit starts with the first byte and not with readiness.
            Err(_) if seen > 0 => deadline = deadline.or_else(|| Some(Instant::now() + limit)),
            Err(_) => {}
        }
    }
}

/// Waits for the first bytes. Returns the classified opening; `None` if it needs more bytes, or if the connection has
/// ended or failed, which [`sniff`] reports.
pub async fn sniff_first(stream: &TcpStream) -> Option<Sniffed> {
    let mut seen = 0;
    let first = stream.async_io(Interest::READABLE, || match peek(stream, &mut seen) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && seen > 0 => Ok(None),
        peeked => peeked,
    });
    first.await.ok().flatten()
}

/// Peeks once. Returns the classified opening, `None` at the end of stream, or `WouldBlock` if the opening needs more
/// bytes.
fn peek(stream: &TcpStream, seen: &mut usize) -> io::Result<Option<Sniffed>> {
    let mut buffer = [0; PEEK_BYTES];
    let (count, _) = rustix::net::recv(stream, &mut buffer, RecvFlags::PEEK)?;
    let bytes = &buffer[..count];
    *seen = count;
    match classify(bytes) {
        Class::Is(Opening::Tls) if count < VERSION_END => Err(io::ErrorKind::WouldBlock.into()),
        Class::Is(Opening::Tls) => {
            let hello = ClientHello::read(bytes);
            let opening = if hello.is_too_old() { Opening::OldTls } else { Opening::Tls };
            Ok(Some(Sniffed { opening, hello: Some(hello) }))
        }
        Class::Is(opening) => Ok(Some(Sniffed { opening, hello: None })),
        Class::NeedMore if bytes.is_empty() => Ok(None),
        Class::NeedMore => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// The end of the version field of a ClientHello: record header, handshake header, version. A ClientHello is longer
/// than this, so more bytes will follow, and the refusal of an old client can name its version. (If the ClientHello is
/// split over records of a few bytes, the TLS stack refuses it instead.)
const VERSION_END: usize = 11;
