//! What a client that is not served gets to read, and a close that does not overtake it.

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

/// Refuses by policy: a MongoDB error to a MongoDB request, an alert to TLS, a close to anything else. At most
/// `limit` is waited for the rest of a request that has begun.
pub(super) async fn by_policy(mut socket: TcpStream, refused: Refused, style: RefusalStyle, limit: Duration) {
    if style == RefusalStyle::Reply {
        let said = match refused {
            Refused::Plaintext => timeout(limit, reply(&mut socket, TLS_REQUIRED, TLS_REQUIRED_TEXT)).await,
            Refused::Tls => timeout(limit, socket.write_all(&alert(TLS_1_2, ACCESS_DENIED))).await,
            Refused::TlsTooOld => timeout(limit, socket.write_all(&alert(TLS_1_0, PROTOCOL_VERSION))).await,
        };
        // A client that could not be told is a client that is gone.
        let _ = said;
    }
    linger(socket).await;
}

/// Refuses a client that has come around the rules: a MongoDB error to a MongoDB request, an alert to TLS, which is not
/// terminated for it.
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

/// Who a client that is turned away says it is, as far as its opening is there already.
pub(super) async fn who(socket: &TcpStream) -> Option<ClientMetadata> {
    let mut opening = [0; PEEK_BYTES];
    let count = timeout(WHO, socket.peek(&mut opening)).await.ok()?.ok()?;
    let length = Header::of(&opening[..count])?.body_len()? + HEADER_BYTES;
    ClientMetadata::of(opening[..count].get(..length)?)
}

/// Tells an admitted client that there is no server behind: `HostUnreachable` to a request.
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
            None => format!("tlsramp does not know where this connection leads: {failure}"),
        };
        let _ = timeout(limit, reply(&mut leg, HOST_UNREACHABLE, &text)).await;
    }
    linger(leg).await;
}

/// Tells a client that was admitted, and is no longer, why: with a MongoDB error, since TLS has no refusal after its
/// handshake.
pub(super) async fn after_admission(mut leg: Leg, failure: &ServeError, style: RefusalStyle, limit: Duration) {
    if style == RefusalStyle::Reply {
        // Drivers try again after the second.
        let refused = matches!(failure, ServeError::Refused(_) | ServeError::ClientTls(_));
        let code = if refused { TLS_REQUIRED } else { HOST_UNREACHABLE };
        let text = format!("tlsramp refuses this connection by a policy that changed while it was made: {failure}");
        let _ = timeout(limit, reply(&mut leg, code, &text)).await;
    }
    linger(leg).await;
}

/// Reads as much of the first message as its answer needs, and answers.
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

/// A fatal alert, in a record of its own (RFC 8446, section 6).
fn alert(minor_version: u8, description: u8) -> [u8; 7] {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    [ALERT, 3, minor_version, 0, 2, FATAL, description]
}

const TLS_1_0: u8 = 1;
const TLS_1_2: u8 = 3;
const ACCESS_DENIED: u8 = 49;
const PROTOCOL_VERSION: u8 = 70;
