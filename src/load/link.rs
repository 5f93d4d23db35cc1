//! A connection of a client's: plaintext, or TLS.

use std::fmt::Debug;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tally::Kind;
use super::wish::{Tls, Wish};
use crate::limits::LOAD_PATIENCE;
use crate::net::Resolver;
use crate::tls::HandshakeError;

/// Either kind.
pub(super) type Link = Box<dyn Stream>;

/// What both kinds are.
pub(super) trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Debug + Send + Unpin> Stream for S {}

/// Connects, with a handshake where it is TLS.
///
/// # Errors
/// What went wrong, by kind.
pub(super) async fn connect(resolver: &Resolver, tls: Option<&Tls>) -> Result<Link, Kind> {
    let addresses = resolver.addresses(LOAD_PATIENCE).await.map_err(|error| Kind::Resolve(error.to_string()))?;
    let socket = TcpStream::connect(&*addresses).await.map_err(|error| Kind::connect(&error))?;
    socket.set_nodelay(true).map_err(|error| Kind::connect(&error))?;
    let Some(Tls { config, name }) = tls else { return Ok(Box::new(socket)) };
    // Not the stream that the proxy has: what is measured and what measures do not share their faults.
    let handshake = TlsConnector::from(Arc::clone(config)).connect(name.clone(), socket);
    let stream = timeout(LOAD_PATIENCE, handshake).await.map_err(|_| HandshakeError::TimedOut(LOAD_PATIENCE));
    let stream = stream.and_then(|stream| Ok(stream?));
    Ok(Box::new(stream.map_err(|error| Kind::Handshake(error.to_string()))?))
}

impl Wish {
    /// How the client of this number speaks: TLS and plaintext are spread evenly.
    pub(super) fn tls_of(&self, number: usize) -> Option<&Tls> {
        let before = |number: usize| number * self.by_tls / self.connections;
        self.tls.as_ref().filter(|_| before(number + 1) > before(number))
    }
}
