//! A TLS stream that owns no buffer while nothing moves. Records are worked on in buffers of the worker's; a stream
//! keeps only what cannot be finished: a part of a record, what a reader had no room for, what the socket did not take.
//!
//! An idle connection costs what its keys do. The same stream with buffers of its own needs three to eight times that.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{SendFlags, send};
use rustls::{CommonState, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::intake::Intake;
use super::resumption::{self, NEVER};
use super::session::{self, Side};
use crate::limits::{TLS_HELD, TLS_READ, TLS_RECORD, TLS_WRITE, TLS_WRITTEN};

/// TLS over a socket, once its handshake is done.
pub struct Stream<S> {
    socket: TcpStream,
    session: S,
    /// When the peer's identity is over, in seconds since 1970.
    end: i64,
    /// What has come and cannot be worked on before more has.
    incoming: Vec<u8>,
    /// What is decrypted, and was more than its reader had room for.
    plain: Vec<u8>,
    /// What is encrypted, and not yet taken by the socket.
    outgoing: Vec<u8>,
    /// Whether that may wait for company.
    may_wait: bool,
    /// Whether the peer has ended its direction.
    notified: bool,
    /// Whether we have ended ours.
    closed: bool,
    /// Why nothing more comes of it. Said behind all data that came before, and said again to who asks again: the
    /// stack must not be shown anything after it.
    failure: Option<Failure>,
}

/// Why a session has failed.
#[derive(Debug, Clone)]
enum Failure {
    /// The stack found an error.
    Tls(rustls::Error),
    /// The peer has sent too much of a message after the handshake.
    Unfinished(Unfinished),
}

/// A handshake message after the handshake, in more records than any peer needs for one: the stack would keep up to
/// 64 KiB of it, for as long as the connection is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer sent a TLS handshake message of more than {most} bytes after the handshake")]
pub(super) struct Unfinished {
    pub(super) most: usize,
}

impl<S: Side + Unpin> Stream<S> {
    pub(super) fn new(socket: TcpStream, session: S) -> Stream<S> {
        Stream {
            socket,
            session,
            end: NEVER,
            incoming: Vec::new(),
            plain: Vec::new(),
            outgoing: Vec::new(),
            may_wait: false,
            notified: false,
            closed: false,
            failure: None,
        }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// With a session whose making has resumed an identity that ends then.
    pub(super) fn ending(self, end: i64) -> Stream<S> {
        Stream { end, ..self }
    }

    /// Whether the certificates, or the revocation list, by which the peer was verified are over.
    #[must_use]
    pub fn is_outlived(&self) -> bool {
        self.end != NEVER && self.end <= resumption::now()
    }

    /// Verifies the peer again, whose identity ends by what that finds.
    pub(super) fn verified<T>(&mut self, verify: impl FnOnce(&CommonState) -> T) -> T {
        let Stream { session, end, .. } = self;
        resumption::step(end, || verify(session.common()))
    }

    /// What is known of the session.
    #[must_use]
    pub fn session(&self) -> &CommonState {
        self.session.common()
    }

    /// Bytes that are kept: not yet whole, not yet read, not yet sent.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn kept(&self) -> (usize, usize, usize) {
        (self.incoming.len(), self.plain.len(), self.outgoing.len())
    }

    pub(super) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// Goes on with the handshake. When it has failed, the alert has been written.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>, intake: &mut Intake) -> Poll<io::Result<()>> {
        if self.incoming.is_empty() {
            // A client speaks first.
            self.digest(&mut [], &mut ReadBuf::new(&mut []));
        }
        loop {
            if !self.session.common().is_handshaking() {
                let tls13 = self.session.common().protocol_version() == Some(ProtocolVersion::TLSv1_3);
                self.may_wait = S::LAST_MAY_WAIT && tls13;
                return if self.may_wait { Poll::Ready(Ok(())) } else { self.poll_send(cx) };
            }
            if let Some(error) = self.failed() {
                // The socket of a handshake has room for an alert.
                let _ = self.poll_send(cx);
                return Poll::Ready(Err(error));
            }
            ready!(self.poll_send(cx))?;
            let room =
                ready!(intake.poll_room(cx)).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let received =
                INCOMING.with_borrow_mut(|scratch| self.poll_receive(cx, scratch, &mut ReadBuf::new(&mut []), room));
            intake.received(ready!(received)?, !self.outgoing.is_empty());
        }
    }

    /// Takes what has come, up to `most` bytes, and works on it. Ready when something was taken: with how much.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        buffer: &mut ReadBuf<'_>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let held = self.incoming.len();
        if held > TLS_HELD {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a handshake message without an end")));
        }
        // What this decrypts to fits into the reader's buffer, if that is of some size.
        let room = buffer.remaining().saturating_sub(held).clamp(TLS_RECORD, TLS_READ).min(most);
        let mut read = ReadBuf::new(&mut scratch[held..held + room]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
        let count = read.filled().len();
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        scratch[..held].copy_from_slice(&self.incoming);
        self.digest(&mut scratch[..held + count], buffer);
        Poll::Ready(Ok(count))
    }

    /// Works on records.
    fn digest(&mut self, bytes: &mut [u8], buffer: &mut ReadBuf<'_>) {
        let Stream { session, end, plain, outgoing, .. } = self;
        let digested = resumption::step(end, || {
            session::digest(session, bytes, outgoing, |data| {
                let (now, later) = data.split_at(data.len().min(buffer.remaining()));
                buffer.put_slice(now);
                plain.extend_from_slice(later);
            })
        });
        let rest = &bytes[digested.done..];
        self.notified |= digested.notified;
        self.failure = digested.failed.map(Failure::Tls);
        // A part of a record is never longer than that, so that it is a handshake message.
        if rest.len() > S::UNFINISHED && !session.common().is_handshaking() {
            session::send_alert(session, rest.len(), outgoing);
            self.failure = Some(Failure::Unfinished(Unfinished { most: S::UNFINISHED }));
            self.incoming = Vec::new();
        } else {
            keep(&mut self.incoming, rest);
        }
    }

    fn failed(&self) -> Option<io::Error> {
        Some(match self.failure.clone()? {
            Failure::Tls(error) => io::Error::new(io::ErrorKind::InvalidData, error),
            Failure::Unfinished(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        })
    }

    /// Hands the socket what it has not taken yet.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0;
        let result = loop {
            if sent == self.outgoing.len() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.socket).poll_write(cx, &self.outgoing[sent..]) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        forget(&mut self.outgoing, sent);
        result
    }

    /// The same for the last of it, which waits in the socket for the end that follows at once: one packet says both.
    fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outgoing.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.socket.poll_write_ready(cx))?;
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = self.socket.try_io(Interest::WRITABLE, || Ok(send(&self.socket, &self.outgoing, flags)?));
        match sent {
            Ok(count) => forget(&mut self.outgoing, count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        // What is left, and waits for room, is no longer one packet.
        self.poll_send(cx)
    }

    /// Encrypts, behind what waits for company, and hands the socket all of it.
    fn poll_encrypt(&mut self, cx: &mut Context<'_>, scratch: &mut [u8], data: &[u8]) -> Poll<io::Result<usize>> {
        let held = self.outgoing.len();
        scratch[..held].copy_from_slice(&self.outgoing);
        let encrypted = session::encrypt(&mut self.session, &mut self.incoming, data, &mut scratch[held..]);
        let count = match encrypted {
            Ok(count) => count,
            Err(error) => return Poll::Ready(Err(self.worn_out(cx, error))),
        };
        let all = &scratch[..held + count];
        let sent = match Pin::new(&mut self.socket).poll_write(cx, all) {
            Poll::Ready(Ok(sent)) => sent,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => 0,
        };
        keep(&mut self.outgoing, &all[sent..]);
        self.may_wait = false;
        Poll::Ready(Ok(data.len()))
    }

    /// The keys of TLS 1.2 carry so many records, in most cipher suites 2^24, and cannot be renewed. The stack has ended
    /// our direction then, and the peer must hear it, or it would wait for an answer.
    fn worn_out(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Error {
        let mut rest = std::mem::take(&mut self.incoming);
        self.digest(&mut rest, &mut ReadBuf::new(&mut []));
        self.closed = true;
        let _ = self.poll_send(cx);
        error
    }
}

impl<S> fmt::Debug for Stream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl<S: Side + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        loop {
            if !this.plain.is_empty() {
                let count = this.plain.len().min(buffer.remaining());
                buffer.put_slice(&this.plain[..count]);
                forget(&mut this.plain, count);
            }
            if buffer.filled().len() > before || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if this.notified {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = this.failed() {
                // Of the alert, where there is one, no more than the socket takes now.
                let _ = this.poll_send(cx);
                return Poll::Ready(Err(error));
            }
            let received = INCOMING.with_borrow_mut(|scratch| this.poll_receive(cx, scratch, buffer, TLS_READ));
            if received.is_pending() && !this.may_wait && !this.closed {
                // Who waits must not be waited for: what the stack itself had to answer goes out without a writer.
                ready!(this.poll_send(cx))?;
            }
            ready!(received)?;
        }
    }
}

impl<S: Side + Unpin> AsyncWrite for Stream<S> {
    /// All of `data`, up to a bound, is taken at once or not at all: what the socket does not take is kept.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.closed || this.failure.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if !this.may_wait || this.outgoing.len() > TLS_RECORD {
            ready!(this.poll_send(cx))?;
        }
        let data = &data[..data.len().min(TLS_WRITE)];
        OUTGOING.with_borrow_mut(|scratch| this.poll_encrypt(cx, scratch, data))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closed && this.failure.is_none() {
            session::close(&mut this.session, &mut this.incoming, &mut this.outgoing);
        }
        this.closed = true;
        ready!(this.poll_last(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

/// Keeps all but the first bytes; no memory for none.
fn forget(kept: &mut Vec<u8>, count: usize) {
    kept.drain(..count);
    if kept.is_empty() {
        *kept = Vec::new();
    }
}

/// Keeps these bytes and no others, in as much memory as they need: what a peer dribbles is counted by its bytes.
fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() > kept.capacity() || bytes.is_empty() {
        *kept = bytes.to_vec();
    } else {
        kept.clear();
        kept.extend_from_slice(bytes);
    }
}

thread_local! {
    /// Where a worker reads records into, and decrypts them; in use only within one poll.
    static INCOMING: RefCell<Box<[u8]>> = RefCell::new(vec![0; TLS_HELD + TLS_READ].into_boxed_slice());
    /// Where it encrypts to.
    static OUTGOING: RefCell<Box<[u8]>> = RefCell::new(vec![0; TLS_RECORD + TLS_WRITTEN].into_boxed_slice());
}

#[cfg(test)]
mod tests;
