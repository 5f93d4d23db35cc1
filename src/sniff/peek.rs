//! The wait for an opening, by `MSG_PEEK`: every byte stays in the kernel, and no replay buffer exists.
//!
//! Two traps of peeking under tokio shape the loop. A peek that returns bytes leaves the socket "ready", so one
//! that did not suffice must report `WouldBlock`, or the next wait returns at once and spins. And a peek never
//! shows the end of stream behind buffered bytes while tokio never clears `READ_CLOSED`, so one byte plus FIN
//! would come back for ever: after each undecided peek the readiness itself is asked.

use std::io;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::{Class, ClientHello, classify};
use crate::limits::PEEK_BYTES;
use crate::policy::Opening;

/// An opening that is decided.
#[derive(Debug)]
pub struct Sniffed {
    /// What it is.
    pub opening: Opening,
    /// What a TLS opening says of itself.
    pub hello: Option<ClientHello>,
}

/// Why there is no opening. None of these is ever forwarded.
#[derive(Debug, thiserror::Error)]
pub enum SniffError {
    /// Closed without a byte: a probe.
    #[error("closed without a byte")]
    Silent,
    /// Closed in the middle of an opening.
    #[error("closed after {0} bytes that were neither TLS nor a message")]
    Truncated(usize),
    /// The wait is over.
    #[error("no decidable opening in time ({0} bytes seen)")]
    TimedOut(usize),
    /// The socket failed.
    #[error("{0}")]
    Socket(#[from] io::Error),
}

/// Waits for the first byte, without a bound of its own unless `close_silent`, then at most `limit` for the
/// rest of the opening. Costs no CPU while nothing arrives.
///
/// # Errors
/// [`SniffError`]: the connection is to be closed.
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
            // Health checkers like to reset what they have seen enough of.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && seen == 0 => {
                return Err(SniffError::Silent);
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) if ready.is_read_closed() && seen > 0 => return Err(SniffError::Truncated(seen)),
            // Readiness may be false news, so that nothing was there: the wait starts with a byte, not with it.
            Err(_) if seen > 0 => deadline = deadline.or_else(|| Some(Instant::now() + limit)),
            Err(_) => {}
        }
    }
}

/// One peek: decided, or the end of stream, or `WouldBlock` for an opening that needs more.
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

/// Where the version field of a ClientHello ends: record header, handshake header, version. A client that sent so
/// little has more to say, and with the version its refusal can name what was wrong (unless it is split over records
/// of a few bytes, and then the TLS stack refuses it).
const VERSION_END: usize = 11;
