//! The TLS stream.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{SendFlags, send};
use rustls::{CommonState, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::buffers::{INCOMING, OUTGOING, forget, keep};
use crate::limits::{TLS_HELD, TLS_READ, TLS_RECORD, TLS_WRITE};
use crate::tls::resumption::{self, NEVER};
use crate::tls::stream::quota::HandshakeQuota;
use crate::tls::stream::session::{self, UnbufferedSession};

/// TLS over a TCP socket.
pub struct TlsStream<S> {
    socket: TcpStream,
    session: S,
    /// The time at which the peer's certificates are no longer valid, in seconds since 1970.
    end: i64,
    /// Bytes of an incomplete record or handshake message.
    incoming: Vec<u8>,
    /// Plaintext that did not fit into the reader's buffer.
    plain: Vec<u8>,
    /// Records that the socket did not accept.
    outgoing: Vec<u8>,
    /// Whether `outgoing` may be delayed until the first data is sent.
    may_wait: bool,
    /// Whether the peer has sent `close_notify`.
    peer_closed: bool,
    /// Whether our `close_notify` was queued.
    closed: bool,
    /// The error with which reading failed. It is returned after all data that was received before it, and again by
    /// each later read, since rustls must not be called after an error.
    failure: Option<StreamError>,
}

/// The reason why reading failed.
#[derive(Debug, Clone)]
enum StreamError {
    /// An error of rustls.
    Tls(rustls::Error),
    /// A handshake message after the handshake was too long.
    IncompleteMessage(IncompleteMessage),
}

/// A handshake message after the handshake is longer than any peer needs. rustls would keep up to 64 KiB of it for as
/// long as the connection is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer sent a TLS handshake message of more than {most} bytes after the handshake")]
pub(crate) struct IncompleteMessage {
    pub(crate) most: usize,
}

impl<S: UnbufferedSession + Unpin> TlsStream<S> {
    pub(crate) fn new(socket: TcpStream, session: S) -> TlsStream<S> {
        TlsStream {
            socket,
            session,
            end: NEVER,
            incoming: Vec::new(),
            plain: Vec::new(),
            outgoing: Vec::new(),
            may_wait: false,
            peer_closed: false,
            closed: false,
            failure: None,
        }
    }

    /// The underlying socket.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Sets the expiry time of the peer's identity, for a resumed session.
    pub(crate) fn ending(self, end: i64) -> TlsStream<S> {
        TlsStream { end, ..self }
    }

    /// Whether the certificates or the CRL by which the peer was verified have expired.
    pub fn is_outlived(&self) -> bool {
        self.end != NEVER && self.end <= resumption::now()
    }

    /// Verifies the peer again and updates the expiry time of its identity.
    pub(crate) fn verified<T>(&mut self, verify: impl FnOnce(&CommonState) -> T) -> T {
        let TlsStream { session, end, .. } = self;
        resumption::step(end, || verify(session.common()))
    }

    /// The state of the TLS session.
    pub fn session(&self) -> &CommonState {
        self.session.common()
    }

    /// The number of bytes kept: `(incomplete, unread, unsent)`.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn kept(&self) -> (usize, usize, usize) {
        (self.incoming.len(), self.plain.len(), self.outgoing.len())
    }

    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// Waits until bytes have arrived for the next step of the handshake; returns false if the handshake is over. If it
    /// has failed, the alert has already been written.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>, quota: &HandshakeQuota) -> Poll<io::Result<bool>> {
        if self.incoming.is_empty() && self.failure.is_none() {
            // The client sends the first message.
            self.process_records(&mut [], &mut ReadBuf::new(&mut []));
        }
        if !self.session.common().is_handshaking() {
            let tls13 = self.session.common().protocol_version() == Some(ProtocolVersion::TLSv1_3);
            self.may_wait = S::LAST_MAY_WAIT && tls13;
            if !self.may_wait {
                ready!(self.poll_send(cx))?;
            }
            return Poll::Ready(Ok(false));
        }
        if let Some(error) = self.failed() {
            // An alert always fits into the socket's send buffer here.
            let _ = self.poll_send(cx);
            return Poll::Ready(Err(error));
        }
        ready!(self.poll_send(cx))?;
        ready!(quota.poll_room(cx))?;
        self.socket.poll_read_ready(cx).map_ok(|()| true)
    }

    /// Performs one step of the handshake, with the bytes that have arrived.
    pub(crate) fn poll_step(&mut self, cx: &mut Context<'_>, quota: &mut HandshakeQuota) -> Poll<io::Result<()>> {
        let room = ready!(quota.poll_room(cx))?;
        let received =
            INCOMING.with_borrow_mut(|scratch| self.poll_receive(cx, scratch, &mut ReadBuf::new(&mut []), room));
        quota.received(ready!(received)?, !self.outgoing.is_empty());
        // The peer can go on while this handshake waits for its next turn.
        if self.session.common().is_handshaking() { self.poll_send(cx) } else { Poll::Ready(Ok(())) }
    }

    /// Receives up to `most` bytes and processes them. Ready with the number of bytes received.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        buffer: &mut ReadBuf<'_>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let held = self.incoming.len();
        if held > TLS_HELD {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the peer sent a TLS handshake message that is too long",
            )));
        }
        // Receives at most as much as fits into the reader's buffer after decryption, within useful bounds.
        let room = buffer.remaining().saturating_sub(held).clamp(TLS_RECORD, TLS_READ).min(most);
        let mut read = ReadBuf::new(&mut scratch[held..held + room]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
        let count = read.filled().len();
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        scratch[..held].copy_from_slice(&self.incoming);
        self.process_records(&mut scratch[..held + count], buffer);
        Poll::Ready(Ok(count))
    }

    /// Processes received records.
    fn process_records(&mut self, bytes: &mut [u8], buffer: &mut ReadBuf<'_>) {
        let TlsStream { session, end, plain, outgoing, .. } = self;
        let processed = resumption::step(end, || {
            session::process_records(session, bytes, outgoing, |data| {
                let (now, later) = data.split_at(data.len().min(buffer.remaining()));
                buffer.put_slice(now);
                plain.extend_from_slice(later);
            })
        });
        let rest = &bytes[processed.consumed..];
        self.peer_closed |= processed.peer_closed;
        self.failure = processed.failed.map(StreamError::Tls);
        // An incomplete record is never this long, so this is a handshake message.
        if rest.len() > S::MAX_INCOMPLETE && !session.common().is_handshaking() {
            session::send_alert(session, rest.len(), outgoing);
            self.failure = Some(StreamError::IncompleteMessage(IncompleteMessage { most: S::MAX_INCOMPLETE }));
            self.incoming = Vec::new();
        } else {
            keep(&mut self.incoming, rest);
        }
    }

    fn failed(&self) -> Option<io::Error> {
        Some(match self.failure.clone()? {
            StreamError::Tls(error) => io::Error::new(io::ErrorKind::InvalidData, error),
            StreamError::IncompleteMessage(error) => io::Error::new(io::ErrorKind::InvalidData, error),
        })
    }

    /// Sends the records that the socket has not accepted yet.
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

    /// As `poll_send`, for the last records: they wait in the socket for the FIN that follows immediately, so that one
    /// packet carries both.
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
        // The rest waits until the socket has room.
        self.poll_send(cx)
    }

    /// Encrypts `data`, appends it to the waiting records, and sends as much as the socket accepts.
    fn poll_encrypt(&mut self, cx: &mut Context<'_>, scratch: &mut [u8], data: &[u8]) -> Poll<io::Result<usize>> {
        let held = self.outgoing.len();
        scratch[..held].copy_from_slice(&self.outgoing);
        let encrypted = session::encrypt(&mut self.session, &mut self.incoming, data, &mut scratch[held..]);
        let count = match encrypted {
            Ok(count) => count,
            Err(error) => return Poll::Ready(Err(self.close_exhausted(cx, error))),
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

    /// Sends the `close_notify` of a session whose keys are exhausted. TLS 1.2 keys protect a limited number of
    /// records, 2^24 in most cipher suites, and cannot be updated.
    fn close_exhausted(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Error {
        let mut rest = std::mem::take(&mut self.incoming);
        self.process_records(&mut rest, &mut ReadBuf::new(&mut []));
        self.closed = true;
        let _ = self.poll_send(cx);
        error
    }
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl<S: UnbufferedSession + Unpin> AsyncRead for TlsStream<S> {
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
            if this.peer_closed {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = this.failed() {
                // Sends the alert, if there is one, as far as the socket accepts it now.
                let _ = this.poll_send(cx);
                return Poll::Ready(Err(error));
            }
            let received = INCOMING.with_borrow_mut(|scratch| this.poll_receive(cx, scratch, buffer, TLS_READ));
            if received.is_pending() && !this.may_wait && !this.closed {
                // Messages of rustls itself, such as a key update, are sent even if the caller writes nothing.
                ready!(this.poll_send(cx))?;
            }
            ready!(received)?;
        }
    }
}

impl<S: UnbufferedSession + Unpin> AsyncWrite for TlsStream<S> {
    /// Accepts all of `data`, up to a bound, or nothing: records that the socket does not accept are kept.
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
