//! The stream of every connection that tlsramp accepts or makes: TCP, a Unix socket or TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::net::{RelayStream, abort_on_close, detect_dead_peer};
use crate::tls::{ClientStream, ServerStream, not_after, version_name};

/// A connection to a client or a server.
#[derive(Debug)]
pub enum Stream {
    /// Plaintext, or TLS that is passed through.
    Tcp(TcpStream),
    Unix(UnixStream),
    FromClient(ServerStream),
    ToServer(ClientStream),
}

impl Stream {
    /// Makes the next close send a TCP reset. A Unix socket has no reset, and its peer notices the close at once.
    pub fn abort(&self) {
        if let Some(socket) = self.socket() {
            abort_on_close(socket);
        }
    }

    /// Returns whether a certificate or revocation list by which the peer was verified has expired.
    pub fn is_outlived(&self) -> bool {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => false,
            Stream::FromClient(stream) => stream.is_outlived(),
            Stream::ToServer(stream) => stream.is_outlived(),
        }
    }

    /// Returns the TLS version of a link that tlsramp has established to a server; `None` for any other stream.
    pub fn tls_version(&self) -> Option<&'static str> {
        match self {
            Stream::ToServer(stream) => stream.session().protocol_version().and_then(version_name),
            Stream::Tcp(_) | Stream::Unix(_) | Stream::FromClient(_) => None,
        }
    }

    /// Returns `notAfter` of the server's certificate, in seconds since 1970; `None` for any other stream.
    pub fn certificate_ends(&self) -> Option<i64> {
        match self {
            Stream::ToServer(stream) => not_after(stream.session().peer_certificates()?.first()?),
            Stream::Tcp(_) | Stream::Unix(_) | Stream::FromClient(_) => None,
        }
    }

    /// Returns the TCP socket of a plaintext or TLS stream; `None` for a Unix socket.
    pub fn socket(&self) -> Option<&TcpStream> {
        match self {
            Stream::Tcp(stream) => Some(stream),
            Stream::FromClient(stream) => Some(stream.socket()),
            Stream::ToServer(stream) => Some(stream.socket()),
            Stream::Unix(_) => None,
        }
    }
}

impl RelayStream for Stream {
    fn bare(&self) -> Option<&TcpStream> {
        match self {
            Stream::Tcp(stream) => Some(stream),
            Stream::Unix(_) | Stream::FromClient(_) | Stream::ToServer(_) => None,
        }
    }

    fn take_error(&self) -> Option<io::Error> {
        let error = match self {
            Stream::Tcp(stream) => stream.take_error(),
            Stream::Unix(stream) => stream.take_error(),
            Stream::FromClient(stream) => stream.socket().take_error(),
            Stream::ToServer(stream) => stream.socket().take_error(),
        };
        // A connection whose error cannot be read counts as lost.
        error.unwrap_or_else(Some)
    }

    fn detect_dead_peer(&self) {
        if let Some(socket) = self.socket() {
            // This fails only if the connection is gone, which the relay notices.
            let _ = detect_dead_peer(socket);
        }
    }
}

macro_rules! each {
    ($any:expr, $stream:ident => $call:expr) => {
        match $any.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
            Stream::FromClient($stream) => $call,
            Stream::ToServer($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
