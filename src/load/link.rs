//! A connection of a client's: plaintext, or TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::tally::Kind;
use super::wish::{Tls, Wish};
use crate::limits::LOAD_PATIENCE;
use crate::net::Resolver;
use crate::tls;

/// Either kind.
#[derive(Debug)]
pub(super) enum Link {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects, with a handshake where it is TLS.
///
/// # Errors
/// What went wrong, by kind.
pub(super) async fn connect(resolver: &Resolver, tls: Option<&Tls>) -> Result<Link, Kind> {
    let addresses = resolver.addresses(LOAD_PATIENCE).await.map_err(|error| Kind::Resolve(error.to_string()))?;
    let socket = TcpStream::connect(&*addresses).await.map_err(|error| Kind::connect(&error))?;
    socket.set_nodelay(true).map_err(|error| Kind::connect(&error))?;
    let Some(Tls { config, name }) = tls else { return Ok(Link::Plain(socket)) };
    let handshake = tls::connect(socket, std::sync::Arc::clone(config), name.clone(), LOAD_PATIENCE).await;
    handshake.map(|stream| Link::Tls(Box::new(stream))).map_err(|error| Kind::Handshake(error.to_string()))
}

impl Wish {
    /// How the client of this number speaks: TLS and plaintext are spread evenly.
    pub(super) fn tls_of(&self, number: usize) -> Option<&Tls> {
        let before = |number: usize| number * self.by_tls / self.connections;
        self.tls.as_ref().filter(|_| before(number + 1) > before(number))
    }
}

macro_rules! each {
    ($link:expr, $stream:ident => $call:expr) => {
        match $link.get_mut() {
            Link::Plain($stream) => $call,
            Link::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Link {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Link {
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
