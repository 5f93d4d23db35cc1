//! Connecting, with or without TLS.

use std::fmt::Debug;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::args::{LoadArgs, LoadTls};
use super::limits::OPERATION;
use super::measurements::FailureKind;
use crate::net::Resolver;
use crate::tls::HandshakeError;

pub(super) type LoadStream = Box<dyn TcpOrTls>;

pub(super) trait TcpOrTls: AsyncRead + AsyncWrite + Debug + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Debug + Send + Unpin> TcpOrTls for S {}

pub(super) async fn connect(resolver: &Resolver, tls: Option<&LoadTls>) -> Result<LoadStream, FailureKind> {
    let addresses = resolver.addresses(OPERATION).await.map_err(|error| FailureKind::Resolve(error.to_string()))?;
    let socket = TcpStream::connect(&*addresses).await.map_err(|error| FailureKind::connect(&error))?;
    socket.set_nodelay(true).map_err(|error| FailureKind::connect(&error))?;
    let Some(LoadTls { config, name }) = tls else { return Ok(Box::new(socket)) };
    // Uses tokio-rustls instead of the proxy's own stream, so that the measurement does not hide a fault of that
    // stream.
    let handshake = TlsConnector::from(Arc::clone(config)).connect(name.clone(), socket);
    let stream = timeout(OPERATION, handshake).await.map_err(|_| HandshakeError::TimedOut(OPERATION));
    let stream = stream.and_then(|stream| Ok(stream?));
    Ok(Box::new(stream.map_err(|error| FailureKind::Handshake(error.to_string()))?))
}

impl LoadArgs {
    /// The TLS configuration of the client with this number, if it uses TLS. TLS clients are spread evenly.
    pub(super) fn tls_of(&self, number: usize) -> Option<&LoadTls> {
        let before = |number: usize| number * self.tls_connections / self.connections;
        self.tls.as_ref().filter(|_| before(number + 1) > before(number))
    }
}
