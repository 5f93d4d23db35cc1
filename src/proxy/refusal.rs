//! Replies to clients that are not served, and closes their connections so that the reply arrives.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::failure::ServeError;
use super::leg::Leg;
use crate::limits::{PEEK_BYTES, WHO};
use crate::mongo::header::HEADER_BYTES;
use crate::mongo::refusal::{HOST_UNREACHABLE, MAX_OPENING_BYTES, TLS_REQUIRED, TLS_REQUIRED_TEXT, UNAUTHORIZED};
use crate::mongo::{ClientMetadata, Header, Refusal, refusal};
use crate::net::linger;
use crate::policy::{Opening, RefusalStyle, Refused};

/// Refuses a client by policy: a MongoDB request gets a MongoDB error, a TLS client gets an alert, and any other
/// connection is closed. Waits at most `limit` for the rest of a request that has begun.
pub(super) async fn by_policy(mut socket: TcpStream, refused: Refused, style: RefusalStyle, limit: Duration) {
    if style == RefusalStyle::Reply {
        let said = match refused {
            Refused::Plaintext => timeout(limit, reply(&mut socket, TLS_REQUIRED, TLS_REQUIRED_TEXT)).await,
            Refused::Tls => timeout(limit, socket.write_all(&alert(TLS_1_2, ACCESS_DENIED))).await,
            Refused::TlsTooOld => timeout(limit, socket.write_all(&alert(TLS_1_0, PROTOCOL_VERSION))).await,
        };
        // The error is ignored: a client to which the reply cannot be sent is gone.
        let _ = said;
    }
    linger(socket).await;
}

/// Refuses a client that has bypassed the firewall's rules: a MongoDB request gets a MongoDB error; a TLS client gets
/// an alert, without TLS being terminated.
pub(super) async fn not_intercepted(
    mut socket: TcpStream,
    opening: Opening,
    failure: &ServeError,
    style: RefusalStyle,
    limit: Duration,
) {
    if style == RefusalStyle::Reply {
        let text = format!("tlsramp refuses this connection: {failure}");
        let _ = match opening {
            Opening::Plaintext => timeout(limit, reply(&mut socket, UNAUTHORIZED, &text)).await,
            Opening::Tls | Opening::OldTls | Opening::Sslv2 => {
                timeout(limit, socket.write_all(&alert(TLS_1_2, ACCESS_DENIED))).await
            }
        };
    }
    linger(socket).await;
}

/// Returns the metadata that a refused client has sent, if its first message has arrived completely.
pub(super) async fn who(socket: &TcpStream) -> Option<ClientMetadata> {
    let mut opening = [0; PEEK_BYTES];
    let count = timeout(WHO, socket.peek(&mut opening)).await.ok()?.ok()?;
    let length = Header::of(&opening[..count])?.body_len()? + HEADER_BYTES;
    ClientMetadata::of(opening[..count].get(..length)?)
}

/// Replies `HostUnreachable` to the first request of an admitted client whose server cannot be reached.
pub(super) async fn unreachable<S>(
    mut leg: S,
    upstream: Option<&str>,
    failure: &ServeError,
    style: RefusalStyle,
    limit: Duration,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if style == RefusalStyle::Reply {
        let text = match upstream {
            Some(upstream) => format!("tlsramp cannot reach the server at {upstream}: {failure}"),
            None => format!("tlsramp cannot determine the destination of this connection: {failure}"),
        };
        let _ = timeout(limit, reply(&mut leg, HOST_UNREACHABLE, &text)).await;
    }
    linger(leg).await;
}

/// Refuses a client that was admitted before and is no longer. The reply is a MongoDB error, because TLS has no refusal
/// after the handshake.
pub(super) async fn after_admission(mut leg: Leg, failure: &ServeError, style: RefusalStyle, limit: Duration) {
    if style == RefusalStyle::Reply {
        // Drivers retry after `HostUnreachable`.
        let refused = matches!(failure, ServeError::Refused(_) | ServeError::ClientTls(_));
        let code = if refused { TLS_REQUIRED } else { HOST_UNREACHABLE };
        let text = format!(
            "tlsramp refuses this connection, because the policy changed while it was being established: {failure}"
        );
        let _ = timeout(limit, reply(&mut leg, code, &text)).await;
    }
    linger(leg).await;
}

/// Reads as much of the first message as the reply needs, and sends the reply.
async fn reply<S>(leg: &mut S, (code, name): (i32, &str), text: &str) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut opening = [0; MAX_OPENING_BYTES];
    let mut have = 0;
    loop {
        match refusal(&opening[..have], code, name, text) {
            Refusal::NoReply => return Ok(()),
            Refusal::Reply(message) => {
                leg.write_all(&message).await?;
                return leg.flush().await;
            }
            Refusal::NeedMore => match leg.read(&mut opening[have..]).await? {
                0 => return Ok(()),
                count => have += count,
            },
        }
    }
}

/// Returns a fatal alert in a TLS record of its own (RFC 8446, section 6).
fn alert(minor_version: u8, description: u8) -> [u8; 7] {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    [ALERT, 3, minor_version, 0, 2, FATAL, description]
}

const TLS_1_0: u8 = 1;
const TLS_1_2: u8 = 3;
const ACCESS_DENIED: u8 = 49;
const PROTOCOL_VERSION: u8 = 70;
