//! The check of a node from outside, as a client would see the node: whether it answers TLS, and whether it refuses
//! plaintext. Of a TLS answer, only the first byte is read; no certificate is presented, and none is verified.
//!
//! Plaintext is sent only to a node that must refuse it: any other node would list the check as a plaintext client in
//! its inventory, and that client would block the next step.

use std::io;
use std::sync::Arc;

use bson::rawdoc;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::limits::{EXTERNAL_CHECK, EXTERNAL_CHECK_BYTES, POLL};
use crate::mongo::{CommandError, MongoClient};
use crate::net::HostPort;
use crate::policy::Mode;

/// The application name in the plaintext `isMaster`.
pub(super) const APPLICATION: &str = "tlsramp rollout";

/// Checks that a node answers as its mode requires. Returns a text for each result.
///
/// # Errors
/// A description of the difference, or of why the address cannot be reached.
pub(super) async fn verify(address: &HostPort, mode: Mode) -> Result<Vec<&'static str>, String> {
    let mut found = vec![tls(address, mode).await?];
    if !mode.accepts_plaintext() {
        found.push(plaintext(address).await?);
    }
    Ok(found)
}

async fn tls(address: &HostPort, mode: Mode) -> Result<&'static str, String> {
    let hello = client_hello(address).map_err(|error| format!("cannot make a ClientHello for {address}: {error}"))?;
    let mut stream = connect(address).await?;
    // A connection that is closed or reset is an answer too.
    let first_byte = async {
        stream.write_all(&hello).await.ok()?;
        stream.read_u8().await.ok()
    };
    match (answer(address, first_byte).await?, mode.accepts_tls()) {
        (Some(HANDSHAKE), true) => Ok("TLS is answered"),
        (Some(ALERT), false) => Ok("TLS is refused by an alert"),
        (first, _) => {
            let got = match first {
                Some(HANDSHAKE) => "a handshake",
                Some(ALERT) => "an alert",
                Some(_) => "bytes that are not TLS",
                None => "the end of the connection",
            };
            Err(format!(
                "{address} answers a ClientHello with {got} in mode {mode}: does this node's tlsramp listen there? \
                 (see --public)"
            ))
        }
    }
}

async fn plaintext(address: &HostPort) -> Result<&'static str, String> {
    let metadata = rawdoc! {
        "application": { "name": APPLICATION },
        "driver": { "name": "tlsramp", "version": env!("CARGO_PKG_VERSION") },
        "os": { "type": std::env::consts::OS },
    };
    let mut client = MongoClient::over(connect(address).await?).limited(EXTERNAL_CHECK_BYTES);
    let command = rawdoc! { "isMaster": 1, "helloOk": true, "client": metadata };
    match answer(address, client.query("admin", &command)).await? {
        Ok(document) if document.get_i32("code").is_ok_and(|code| code == REFUSED) => Ok("plaintext is refused"),
        Err(CommandError::Closed | CommandError::Io(_)) => Ok("plaintext connections are closed"),
        Ok(_) | Err(CommandError::Refused { .. } | CommandError::Malformed(_)) => {
            Err(format!("{address} still answers plaintext: does this node's tlsramp listen there? (see --public)"))
        }
    }
}

async fn answer<T>(address: &HostPort, answer: impl Future<Output = T>) -> Result<T, String> {
    let answer = timeout(EXTERNAL_CHECK, answer).await;
    answer.map_err(|_| format!("{address} does not answer within {} s", EXTERNAL_CHECK.as_secs()))
}

/// Connects, with retries within a bound, so that one lost packet does not fail the check.
async fn connect(address: &HostPort) -> Result<TcpStream, String> {
    let until = Instant::now() + 2 * EXTERNAL_CHECK;
    loop {
        let next = Instant::now() + POLL;
        let why = match timeout(EXTERNAL_CHECK, TcpStream::connect((&*address.host, address.port))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no connection within {} s", EXTERNAL_CHECK.as_secs()),
        };
        if next > until {
            return Err(format!(
                "cannot connect to {address}: {why}; if this host cannot reach that address, give another with --public"
            ));
        }
        sleep_until(next).await;
    }
}

/// A ClientHello. Its handshake is never completed.
fn client_hello(address: &HostPort) -> Result<Vec<u8>, String> {
    let host = address.host.strip_suffix('.').unwrap_or(&address.host);
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    let mut hello = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut hello).map_err(|error: io::Error| error.to_string())?;
    }
    Ok(hello)
}

/// TLS record content types (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
/// MongoDB's `SSLHandshakeFailed`.
const REFUSED: i32 = 141;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::{ALERT, HANDSHAKE, REFUSED, verify};
    use crate::mongo::{Request, error_document};
    use crate::net::HostPort;
    use crate::policy::Mode;

    /// A server that answers TLS with one byte, and plaintext with an error of this code; without a code, it closes the
    /// connection.
    async fn server(tls: u8, code: Option<i32>) -> HostPort {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = vec![0; 4096];
                let count = stream.read(&mut bytes).await.unwrap();
                let answer = match (bytes[0], code) {
                    (HANDSHAKE, _) => vec![tls],
                    (_, Some(code)) => {
                        let request = Request::parse(&bytes[..count]).unwrap();
                        request.reply(1, &error_document(code, "x", "y"))
                    }
                    (_, None) => Vec::new(),
                };
                stream.write_all(&answer).await.unwrap();
            }
        });
        HostPort { host: "127.0.0.1".into(), port }
    }

    #[tokio::test]
    async fn answers_are_compared_with_the_mode() {
        for (tls, code, mode, expected) in [
            (HANDSHAKE, None, Mode::Allow, Ok(1)),
            (ALERT, None, Mode::Disabled, Ok(1)),
            (HANDSHAKE, Some(REFUSED), Mode::Require, Ok(2)),
            (HANDSHAKE, None, Mode::Require, Ok(2)),
            (HANDSHAKE, Some(0), Mode::Require, Err("still answers plaintext")),
            (HANDSHAKE, None, Mode::Disabled, Err("answers a ClientHello with a handshake in mode disabled")),
            (ALERT, None, Mode::Prefer, Err("answers a ClientHello with an alert")),
            (b'H', None, Mode::Prefer, Err("bytes that are not TLS")),
        ] {
            let got = verify(&server(tls, code).await, mode).await;
            match (&got, expected) {
                (Ok(found), Ok(count)) => assert_eq!(found.len(), count, "{found:?}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
                _ => panic!("{mode}: {got:?}"),
            }
        }
    }
}
