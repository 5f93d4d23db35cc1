//! One leg of a connection, as a stream: TCP, a Unix socket or TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::net::{RelayStream, abort_on_close};
use crate::tls::{ClientStream, ServerStream};
use crate::upstream;

/// The stream of a client or an upstream.
#[derive(Debug)]
pub(super) enum Leg {
    Tcp(TcpStream),
    Unix(UnixStream),
    FromClient(ServerStream),
    ToServer(ClientStream),
}

impl Leg {
    /// Makes the next close send a TCP reset. A Unix socket has no reset, and its peer notices the close at once.
    pub(super) fn abort(&self) {
        if let Some(socket) = self.socket() {
            abort_on_close(socket);
        }
    }

    /// Returns whether a certificate or revocation list by which the peer was verified has expired.
    pub(super) fn is_outlived(&self) -> bool {
        match self {
            Leg::Tcp(_) | Leg::Unix(_) => false,
            Leg::FromClient(stream) => stream.is_outlived(),
            Leg::ToServer(stream) => stream.is_outlived(),
        }
    }

    /// Returns the TCP socket of a plaintext or TLS leg; `None` for a Unix socket.
    pub(super) fn socket(&self) -> Option<&TcpStream> {
        match self {
            Leg::Tcp(stream) => Some(stream),
            Leg::FromClient(stream) => Some(stream.socket()),
            Leg::ToServer(stream) => Some(stream.socket()),
            Leg::Unix(_) => None,
        }
    }
}

impl From<upstream::Stream> for Leg {
    fn from(stream: upstream::Stream) -> Leg {
        match stream {
            upstream::Stream::Tcp(stream) => Leg::Tcp(stream),
            upstream::Stream::Unix(stream) => Leg::Unix(stream),
            upstream::Stream::Tls(stream) => Leg::ToServer(stream),
        }
    }
}

impl RelayStream for Leg {
    fn bare(&self) -> Option<&TcpStream> {
        match self {
            Leg::Tcp(stream) => Some(stream),
            Leg::Unix(_) | Leg::FromClient(_) | Leg::ToServer(_) => None,
        }
    }

    fn take_error(&self) -> Option<io::Error> {
        let error = match self {
            Leg::Tcp(stream) => stream.take_error(),
            Leg::Unix(stream) => stream.take_error(),
            Leg::FromClient(stream) => stream.socket().take_error(),
            Leg::ToServer(stream) => stream.socket().take_error(),
        };
        // A socket whose error cannot be read counts as lost too.
        error.unwrap_or_else(Some)
    }
}

macro_rules! each {
    ($leg:expr, $stream:ident => $call:expr) => {
        match $leg.get_mut() {
            Leg::Tcp($stream) => $call,
            Leg::Unix($stream) => $call,
            Leg::FromClient($stream) => $call,
            Leg::ToServer($stream) => $call,
        }
    };
}

impl AsyncRead for Leg {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Leg {
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
