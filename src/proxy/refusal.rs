//! Replies to clients that are not served, and closes their connections in a way that lets the reply arrive.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::failure::ServeError;
use crate::limits::{PEEK_BYTES, WHO};
use crate::mongo::header::HEADER_BYTES;
use crate::mongo::refusal::{HOST_UNREACHABLE, TLS_REQUIRED, TLS_REQUIRED_TEXT, UNAUTHORIZED};
use crate::mongo::server::refuse;
use crate::mongo::{ClientMetadata, Header};
use crate::net::linger;
use crate::policy::{Opening, RefusalStyle, Refused};
use crate::stream::Stream;

/// Refuses a client by policy: a MongoDB request gets a MongoDB error, a TLS client gets an alert, and any other
/// connection is closed. Waits at most `limit` for the rest of a request that has begun.
pub(super) async fn by_policy(mut socket: TcpStream, refused: Refused, style: RefusalStyle, limit: Duration) {
    if style == RefusalStyle::Reply {
        match refused {
            Refused::Plaintext => refuse(&mut socket, &[], TLS_REQUIRED, TLS_REQUIRED_TEXT, limit).await,
            Refused::Tls => send_alert(&mut socket, TLS_1_2, ACCESS_DENIED, limit).await,
            Refused::TlsTooOld => send_alert(&mut socket, TLS_1_0, PROTOCOL_VERSION, limit).await,
        }
    }
    linger(socket).await;
}

/// Refuses a client that has bypassed the interception rules. A MongoDB request gets a MongoDB error; a TLS client gets
/// an alert in place of a handshake.
pub(super) async fn not_intercepted(
    mut socket: TcpStream,
    opening: Opening,
    failure: &ServeError,
    style: RefusalStyle,
    limit: Duration,
) {
    if style == RefusalStyle::Reply {
        let text = format!("tlsramp refuses this connection: {failure}");
        match opening {
            Opening::Plaintext => refuse(&mut socket, &[], UNAUTHORIZED, &text, limit).await,
            Opening::Tls | Opening::OldTls | Opening::Sslv2 => {
                send_alert(&mut socket, TLS_1_2, ACCESS_DENIED, limit).await;
            }
        }
    }
    linger(socket).await;
}

/// Returns the metadata that a refused client has sent, if its first message has arrived completely and fits into
/// [`PEEK_BYTES`].
pub(super) async fn who(socket: &TcpStream) -> Option<ClientMetadata> {
    let mut opening = [0; PEEK_BYTES];
    let count = timeout(WHO, socket.peek(&mut opening)).await.ok()?.ok()?;
    let length = Header::of(&opening[..count])?.body_len()? + HEADER_BYTES;
    ClientMetadata::of(opening[..count].get(..length)?)
}

/// Replies `HostUnreachable` to the first request of an admitted client whose server cannot be reached.
pub(super) async fn unreachable(
    mut leg: Stream,
    upstream: Option<&str>,
    failure: &ServeError,
    style: RefusalStyle,
    limit: Duration,
) {
    if style == RefusalStyle::Reply {
        let text = match upstream {
            Some(upstream) => format!("tlsramp cannot reach the server at {upstream}: {failure}"),
            None => format!("tlsramp cannot determine the destination of this connection: {failure}"),
        };
        refuse(&mut leg, &[], HOST_UNREACHABLE, &text, limit).await;
    }
    linger(leg).await;
}

/// Refuses a client that was admitted before and that a newer policy does not admit, or that cannot be served because
/// the policy changes too often. The reply is a MongoDB error, because TLS has no refusal after the handshake.
pub(super) async fn after_admission(mut leg: Stream, failure: &ServeError, style: RefusalStyle, limit: Duration) {
    if style == RefusalStyle::Reply {
        // Drivers retry after `HostUnreachable`.
        let refused = matches!(failure, ServeError::Refused(_) | ServeError::ClientTls(_));
        let code = if refused { TLS_REQUIRED } else { HOST_UNREACHABLE };
        let text = format!(
            "tlsramp refuses this connection, because the policy changed while it was being established: {failure}"
        );
        refuse(&mut leg, &[], code, &text, limit).await;
    }
    linger(leg).await;
}

/// Sends a fatal alert in a TLS record of its own (RFC 8446, section 6).
async fn send_alert(socket: &mut TcpStream, minor_version: u8, description: u8, limit: Duration) {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    // The error is ignored: a client to which the alert cannot be sent is gone.
    let _ = timeout(limit, socket.write_all(&[ALERT, 3, minor_version, 0, 2, FATAL, description])).await;
}

const TLS_1_0: u8 = 1;
const TLS_1_2: u8 = 3;
const ACCESS_DENIED: u8 = 49;
const PROTOCOL_VERSION: u8 = 70;
