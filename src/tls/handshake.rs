//! TLS handshakes with a timeout. A failed inbound handshake returns the socket, so that the caller can close it
//! gracefully.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, PeerIncompatible, ProtocolVersion, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::HANDSHAKES_HELD;
use crate::tls::errors::explain::explain;
use crate::tls::errors::peer_fault::PeerFault;
use crate::tls::identity::resolver::{take_no_common_scheme, take_server_name};
use crate::tls::material::Material;
use crate::tls::names::version_name;
use crate::tls::resumption::{NEVER, step};
use crate::tls::stream::quota::{CLIENTS, HandshakeQuota, HandshakeTooLarge, SERVERS};
use crate::tls::stream::session::UnbufferedSession;
use crate::tls::stream::tls_stream::TlsStream;
use crate::tls::stream::turn::Turn;

/// TLS stream to a client. Boxed, so that plaintext connections do not reserve space for it.
pub type ServerStream = Box<TlsStream<UnbufferedServerConnection>>;

/// TLS stream to a server.
pub type ClientStream = Box<TlsStream<UnbufferedClientConnection>>;

/// Result of a completed handshake with a client.
#[derive(Debug)]
pub struct AcceptedStream {
    /// The stream.
    pub stream: ServerStream,
    /// The server name (SNI) that the client sent.
    pub server_name: Option<String>,
}

/// The reason why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The handshake did not complete within this time.
    #[error("the handshake took longer than {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The peer closed the connection.
    #[error("the peer closed the connection during the handshake")]
    Closed,
    /// The socket failed.
    #[error("{0}")]
    Socket(io::Error),
    /// rustls reported an error. The alert was sent, if TLS defines one for the error.
    #[error("{}", explain(.0))]
    Tls(rustls::Error),
    /// The peer sent more than this number of bytes, the limit for a handshake.
    #[error("the peer sent more than {0} bytes before the handshake was complete")]
    TooLarge(usize),
    /// All handshakes in progress exceeded the memory budget, and this one held the most: this number of bytes.
    #[error(
        "the handshakes in progress held more than {HANDSHAKES_HELD} bytes in total, and this one held the most: {0}"
    )]
    OverBudget(usize),
}

/// Accepts a handshake that does not count towards the memory budget; for listeners with few clients.
///
/// # Errors
/// The reason and the socket, to which the alert, if any, was already written. After a timeout, there is no socket.
pub async fn accept(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    limit: Duration,
) -> Result<AcceptedStream, (HandshakeError, Option<TcpStream>)> {
    accept_with(socket, config, limit, HandshakeQuota::of_client(None)).await
}

/// Accepts a handshake that counts towards the memory budget of all handshakes with clients.
///
/// # Errors
/// As [`accept`]. If the budget is exceeded, there is no socket.
pub async fn accept_budgeted(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    limit: Duration,
) -> Result<AcceptedStream, (HandshakeError, Option<TcpStream>)> {
    accept_with(socket, config, limit, HandshakeQuota::of_client(Some(&CLIENTS))).await
}

async fn accept_with(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    limit: Duration,
    mut quota: HandshakeQuota,
) -> Result<AcceptedStream, (HandshakeError, Option<TcpStream>)> {
    let session = match UnbufferedServerConnection::new(config) {
        Ok(session) => session,
        Err(error) => return Err((HandshakeError::Tls(error), Some(socket))),
    };
    let mut stream = Box::new(TlsStream::new(socket, session));
    let (mut server_name, mut no_scheme) = (None, false);
    let handshake = perform(&mut stream, &mut quota, || {
        // The name is read after each step, because a client may send a second ClientHello after a HelloRetryRequest.
        server_name = take_server_name().or(server_name.take());
        no_scheme |= take_no_common_scheme();
    });
    match timeout(limit, handshake).await {
        Ok(Ok(())) => Ok(AcceptedStream { stream, server_name }),
        // The socket and its buffers are dropped at once.
        Ok(Err(error @ HandshakeError::OverBudget(_))) => Err((error, None)),
        Ok(Err(HandshakeError::Tls(_))) if no_scheme => {
            Err((HandshakeError::Tls(NO_SCHEME), Some(stream.into_socket())))
        }
        Ok(Err(error)) => {
            let in_the_clear = stream.session().protocol_version() != Some(ProtocolVersion::TLSv1_3);
            let socket = stream.into_socket();
            if matches!(error, HandshakeError::TooLarge(_)) && in_the_clear {
                // OpenSSL sends this alert for a message that is too large. An alert always fits into the socket's send
                // buffer here.
                let _ = socket.try_write(&ILLEGAL_PARAMETER);
            }
            Err((error, Some(socket)))
        }
        Err(_) => Err((HandshakeError::TimedOut(limit), None)),
    }
}

/// The error if no signature scheme is common. rustls itself would report "no cipher suites in common".
const NO_SCHEME: rustls::Error = rustls::Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon);

/// Performs a handshake with a server and sends `sni` as the server name. The server's certificate must have one of the
/// names in `config`.
///
/// # Errors
/// The reason. The socket is closed.
pub async fn connect(
    socket: TcpStream,
    config: Arc<ClientConfig>,
    sni: ServerName<'static>,
    limit: Duration,
) -> Result<ClientStream, HandshakeError> {
    connect_with(socket, config, sni, limit, HandshakeQuota::of_server(None)).await
}

/// As [`connect`], but counts towards the memory budget of all handshakes with servers.
///
/// # Errors
/// As [`connect`].
pub async fn connect_budgeted(
    socket: TcpStream,
    config: Arc<ClientConfig>,
    sni: ServerName<'static>,
    limit: Duration,
) -> Result<ClientStream, HandshakeError> {
    connect_with(socket, config, sni, limit, HandshakeQuota::of_server(Some(&SERVERS))).await
}

async fn connect_with(
    socket: TcpStream,
    config: Arc<ClientConfig>,
    sni: ServerName<'static>,
    limit: Duration,
    mut quota: HandshakeQuota,
) -> Result<ClientStream, HandshakeError> {
    let mut end = NEVER;
    // The ClientHello offers a stored session, if one exists.
    let session = step(&mut end, || UnbufferedClientConnection::new(config, sni)).map_err(HandshakeError::Tls)?;
    let mut stream = Box::new(TlsStream::new(socket, session).ending(end));
    let handshake = perform(&mut stream, &mut quota, || ());
    timeout(limit, handshake).await.map_err(|_| HandshakeError::TimedOut(limit))??;
    Ok(stream)
}

/// Performs a handshake step by step, and calls `after` after each step. A budgeted handshake takes turns with the
/// others of its worker.
async fn perform<S: UnbufferedSession + Unpin>(
    stream: &mut TlsStream<S>,
    quota: &mut HandshakeQuota,
    mut after: impl FnMut(),
) -> Result<(), HandshakeError> {
    while poll_fn(|cx| abort_over_budget(stream.poll_handshake(cx, quota), cx, quota)).await? {
        let mut taken = pin!(Turn::take());
        let turn = if quota.is_budgeted() {
            Some(poll_fn(|cx| abort_over_budget(taken.as_mut().poll(cx).map(Ok), cx, quota)).await?)
        } else {
            None
        };
        // Pending means that nothing has arrived after all.
        let step = poll_fn(|cx| Poll::Ready(stream.poll_step(cx, quota))).await;
        after();
        if let Poll::Ready(step) = step {
            step?;
        }
        if let Some(turn) = turn {
            turn.end().await;
        }
    }
    Ok(())
}

/// Aborts an unfinished handshake if the memory budget requires it. It is polled after each step, because a handshake
/// joins the budget with its first received bytes, and only a later poll registers the task's waker.
fn abort_over_budget<T>(
    wait: Poll<io::Result<T>>,
    cx: &mut Context<'_>,
    quota: &mut HandshakeQuota,
) -> Poll<Result<T, HandshakeError>> {
    match wait {
        Poll::Pending => quota.poll_aborted(cx).map(|held| Err(HandshakeError::OverBudget(held))),
        Poll::Ready(over) => Poll::Ready(over.map_err(HandshakeError::from)),
    }
}

/// Verifies a connected client again under other TLS material: its protocol version, and its certificates or the lack
/// of them.
///
/// # Errors
/// The reason why a handshake under that material would be refused.
pub fn reverify_client(stream: &mut ServerStream, material: &Material) -> Result<(), rustls::Error> {
    stream.verified(|session| {
        let version = session.protocol_version().and_then(version_name);
        material.admits(version, session.peer_certificates())
    })
}

impl HandshakeError {
    /// The fault of the peer, if tlsramp can tell its operator a remedy; otherwise `PeerFault::Other`.
    pub fn fault(&self) -> PeerFault {
        match self {
            HandshakeError::Tls(error) => PeerFault::of(error),
            HandshakeError::TimedOut(_)
            | HandshakeError::Closed
            | HandshakeError::Socket(_)
            | HandshakeError::TooLarge(_)
            | HandshakeError::OverBudget(_) => PeerFault::Other,
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> HandshakeError {
        let error = match error.downcast::<HandshakeTooLarge>() {
            Ok(HandshakeTooLarge { limit }) => return HandshakeError::TooLarge(limit),
            Err(error) => error,
        };
        match error.downcast::<rustls::Error>() {
            Ok(error) => HandshakeError::Tls(error),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => HandshakeError::Closed,
            Err(error) => HandshakeError::Socket(error),
        }
    }
}

/// A fatal `illegal_parameter` alert in a record of its own (RFC 8446, section 6).
const ILLEGAL_PARAMETER: [u8; 7] = [21, 3, 3, 0, 2, 2, 47];
