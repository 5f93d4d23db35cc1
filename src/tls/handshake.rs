//! The two handshakes, each within its time. On failure the socket comes back, so that what is left to say to
//! the peer can be said.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{CipherSuite, ClientConfig, PeerIncompatible, ProtocolVersion, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::asked::{asked, without_scheme};
use super::intake::{CLIENTS, Intake, SERVERS, TooLarge};
use super::material::Material;
use super::reason::{PeerFault, explain};
use super::resumption::{NEVER, step};
use super::stream::Stream;
use crate::limits::HANDSHAKES_HELD;

/// A client's TLS, ended here. Boxed: most of its size is the stack's, and who has none must not pay it.
pub type ServerStream = Box<Stream<UnbufferedServerConnection>>;

/// TLS to a server.
pub type ClientStream = Box<Stream<UnbufferedClientConnection>>;

/// A client's handshake, done.
#[derive(Debug)]
pub struct Accepted {
    /// The stream.
    pub stream: ServerStream,
    /// The name that the client has asked for.
    pub server_name: Option<String>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It took too long.
    #[error("the handshake took longer than {}", humane(*.0))]
    TimedOut(Duration),
    /// The peer went away in the middle.
    #[error("the peer closed the connection during the handshake")]
    Closed,
    /// The socket failed.
    #[error("{0}")]
    Socket(io::Error),
    /// TLS failed; an alert was sent where the protocol has one.
    #[error("{}", explain(.0))]
    Tls(rustls::Error),
    /// The peer has sent more than it may before it is known who it is.
    #[error("the peer sent more than {0} bytes before the handshake was over")]
    TooLarge(usize),
    /// The handshakes under way held too much, and this one the most.
    #[error("all handshakes under way held more than {HANDSHAKES_HELD} bytes, and this one the most: {0}")]
    OverBudget(usize),
}

/// Serves a handshake of one of few clients.
///
/// # Errors
/// The reason, and the socket unless the time ran out, with the alert written to it already.
pub async fn accept(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    limit: Duration,
) -> Result<Accepted, (HandshakeError, Option<TcpStream>)> {
    serve(socket, config, limit, Intake::of_client(None)).await
}

/// Serves a handshake of one of many clients: what all of these make us hold has a bound.
///
/// # Errors
/// As [`accept`]; the socket is closed too if the bound is reached.
pub async fn accept_counted(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    limit: Duration,
) -> Result<Accepted, (HandshakeError, Option<TcpStream>)> {
    serve(socket, config, limit, Intake::of_client(Some(&CLIENTS))).await
}

async fn serve(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    limit: Duration,
    mut intake: Intake,
) -> Result<Accepted, (HandshakeError, Option<TcpStream>)> {
    let session = match UnbufferedServerConnection::new(config) {
        Ok(session) => session,
        Err(error) => return Err((HandshakeError::Tls(error), Some(socket))),
    };
    let mut stream = Box::new(Stream::new(socket, session));
    let mut server_name = None;
    let handshake = poll_fn(|cx| {
        let handshake = stream.poll_handshake(cx, &mut intake);
        // After each step, also when it is known: a client may have been made to ask again.
        server_name = asked().or(server_name.take());
        let no_scheme = without_scheme();
        let handshake = handshake.map_err(|error| if no_scheme { io::Error::other(NO_SCHEME) } else { error });
        within_budget(handshake, cx, &mut intake)
    });
    match timeout(limit, handshake).await {
        Ok(Ok(())) => Ok(Accepted { stream, server_name }),
        // Nothing more is held of it.
        Ok(Err(error @ HandshakeError::OverBudget(_))) => Err((error, None)),
        Ok(Err(error)) => {
            let in_the_clear = stream.session().protocol_version() != Some(ProtocolVersion::TLSv1_3);
            let socket = stream.into_socket();
            if matches!(error, HandshakeError::TooLarge(_)) && in_the_clear {
                // The socket of a handshake has room for an alert, as OpenSSL sends it for a message of excessive size.
                let _ = socket.try_write(&ILLEGAL_PARAMETER);
            }
            Err((error, Some(socket)))
        }
        Err(_) => Err((HandshakeError::TimedOut(limit), None)),
    }
}

/// What the stack calls a want of cipher suites, for the key that was shown to it.
const NO_SCHEME: rustls::Error = rustls::Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon);

/// Makes a handshake with a server, asking for the name `sni`. Whom its certificate must name is the configuration's.
///
/// # Errors
/// The reason; the socket is closed.
pub async fn connect(
    socket: TcpStream,
    config: Arc<ClientConfig>,
    sni: ServerName<'static>,
    limit: Duration,
) -> Result<ClientStream, HandshakeError> {
    ask(socket, config, sni, limit, Intake::of_server(None)).await
}

/// The same for one of many: what all of these make us hold has a bound.
///
/// # Errors
/// As [`connect`].
pub async fn connect_counted(
    socket: TcpStream,
    config: Arc<ClientConfig>,
    sni: ServerName<'static>,
    limit: Duration,
) -> Result<ClientStream, HandshakeError> {
    ask(socket, config, sni, limit, Intake::of_server(Some(&SERVERS))).await
}

async fn ask(
    socket: TcpStream,
    config: Arc<ClientConfig>,
    sni: ServerName<'static>,
    limit: Duration,
    mut intake: Intake,
) -> Result<ClientStream, HandshakeError> {
    let mut end = NEVER;
    // The first message offers a session, if there is one.
    let session = step(&mut end, || UnbufferedClientConnection::new(config, sni)).map_err(HandshakeError::Tls)?;
    let mut stream = Box::new(Stream::new(socket, session).ending(end));
    let handshake = poll_fn(|cx| {
        let handshake = stream.poll_handshake(cx, &mut intake);
        within_budget(handshake, cx, &mut intake)
    });
    timeout(limit, handshake).await.map_err(|_| HandshakeError::TimedOut(limit))??;
    Ok(stream)
}

/// What a step of a handshake has come to, unless it is not over and is to be given up. Asked after the step, which may
/// have been the first that takes part in the budget: from then on the task is to be woken.
fn within_budget(
    handshake: Poll<io::Result<()>>,
    cx: &mut Context<'_>,
    intake: &mut Intake,
) -> Poll<Result<(), HandshakeError>> {
    match handshake {
        Poll::Pending => intake.poll_given_up(cx).map(|held| Err(HandshakeError::OverBudget(held))),
        Poll::Ready(over) => Poll::Ready(over.map_err(HandshakeError::from)),
    }
}

/// Whether these TLS files would let in a client whose handshake is done already: its version, and its certificates or
/// the want of them.
///
/// # Errors
/// Why not.
pub fn verify_again(stream: &mut ServerStream, material: &Material) -> Result<(), rustls::Error> {
    stream.verified(|session| {
        let version = session.protocol_version().and_then(version_name);
        material.admits(version, session.peer_certificates())
    })
}

impl HandshakeError {
    /// What is wrong with the peer, as far as something can be done about it on this side.
    #[must_use]
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
        let error = match error.downcast::<TooLarge>() {
            Ok(TooLarge { limit }) => return HandshakeError::TooLarge(limit),
            Err(error) => error,
        };
        match error.downcast::<rustls::Error>() {
            Ok(error) => HandshakeError::Tls(error),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => HandshakeError::Closed,
            Err(error) => HandshakeError::Socket(error),
        }
    }
}

fn humane(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}

/// A protocol version's usual name.
#[must_use]
pub fn version_name(version: ProtocolVersion) -> Option<&'static str> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign list without an end")]
    match version {
        ProtocolVersion::TLSv1_2 => Some("TLS1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLS1.3"),
        // No other is ever agreed on.
        _ => None,
    }
}

/// A cipher suite's IANA name.
#[must_use]
pub fn suite_name(suite: CipherSuite) -> String {
    suite.as_str().map_or_else(|| format!("{suite:?}"), |name| name.replacen("TLS13_", "TLS_", 1))
}

/// A fatal alert, in a record of its own (RFC 8446, section 6).
const ILLEGAL_PARAMETER: [u8; 7] = [21, 3, 3, 0, 2, 2, 47];
