//! A look at a node from outside, as a client has it: is TLS answered, is plaintext refused? Only first bytes are looked
//! at; no certificate is shown, and none is verified.
//!
//! Plaintext is spoken only to a node that must refuse it: anywhere else, this look would be a plaintext client in its
//! inventory, and stand in the way of the next step.

use std::io;
use std::sync::Arc;

use bson::rawdoc;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::limits::{ROLLOUT_LOOK, ROLLOUT_OUTSIDE, ROLLOUT_OUTSIDE_BYTES};
use crate::mongo::header::HEADER_BYTES;
use crate::mongo::request::query_command;
use crate::mongo::{Header, Reply};
use crate::net::HostPort;
use crate::policy::Mode;

/// What we call ourselves where we speak plaintext.
pub(super) const APPLICATION: &str = "tlsramp rollout";

/// What was found, in words for the log.
pub(super) type Found = &'static str;

/// Looks whether a node does as its mode says.
///
/// # Errors
/// What it does instead, or that it cannot be reached, in words.
pub(super) async fn verify(place: &HostPort, mode: Mode) -> Result<Vec<Found>, String> {
    let mut found = vec![tls(place, mode).await?];
    if !mode.accepts_plaintext() {
        found.push(plaintext(place).await?);
    }
    Ok(found)
}

async fn tls(place: &HostPort, mode: Mode) -> Result<Found, String> {
    let hello = client_hello(place).map_err(|error| format!("no TLS hello can be made for {place}: {error}"))?;
    let answer = exchange(place, &hello, 1).await?;
    match (answer.first(), mode.accepts_tls()) {
        (Some(&HANDSHAKE), true) => Ok("TLS is answered"),
        (Some(&ALERT), false) => Ok("TLS is refused by an alert"),
        (first, _) => {
            let got = match first {
                Some(&HANDSHAKE) => "a handshake",
                Some(&ALERT) => "an alert",
                Some(_) => "something that is no TLS",
                None => "an end",
            };
            Err(format!("{place} answers TLS by {got} in mode {mode}: is it this tlsramp that listens there?"))
        }
    }
}

async fn plaintext(place: &HostPort) -> Result<Found, String> {
    let client = rawdoc! {
        "application": { "name": APPLICATION },
        "driver": { "name": "tlsramp", "version": env!("CARGO_PKG_VERSION") },
        "os": { "type": std::env::consts::OS },
    };
    let question = query_command(1, "admin", &rawdoc! { "isMaster": 1, "helloOk": true, "client": client });
    let answer = exchange(place, &question, ROLLOUT_OUTSIDE_BYTES).await?;
    if answer.is_empty() {
        return Ok("plaintext is closed");
    }
    match Reply::parse(&answer).ok().and_then(|reply| reply.document.get_i32("code").ok()) {
        Some(REFUSED) => Ok("plaintext is refused"),
        Some(_) | None => Err(format!("{place} still answers plaintext: is it this tlsramp that listens there?")),
    }
}

/// Sends, and reads an answer: one message of MongoDB, or so many bytes as are enough. A node that cannot be reached is
/// tried again for a while: a look must not fail by one lost packet.
async fn exchange(place: &HostPort, bytes: &[u8], enough: usize) -> Result<Vec<u8>, String> {
    let until = Instant::now() + 2 * ROLLOUT_OUTSIDE;
    loop {
        let next = Instant::now() + ROLLOUT_LOOK;
        let why = match timeout(ROLLOUT_OUTSIDE, TcpStream::connect((&*place.host, place.port))).await {
            Ok(Ok(stream)) => {
                let answer = timeout(ROLLOUT_OUTSIDE, talk(stream, bytes, enough)).await;
                return answer.map_err(|_| format!("{place} does not answer within {} s", ROLLOUT_OUTSIDE.as_secs()));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no connection within {} s", ROLLOUT_OUTSIDE.as_secs()),
        };
        if next > until {
            return Err(format!("{place} cannot be reached: {why}; if that is no address for here, give --public"));
        }
        sleep_until(next).await;
    }
}

/// An end is an answer too, however it comes.
async fn talk(mut stream: TcpStream, bytes: &[u8], enough: usize) -> Vec<u8> {
    let mut answer = Vec::new();
    if stream.write_all(bytes).await.is_err() {
        return answer;
    }
    let mut buffer = [0; 4096];
    while answer.len() < enough && !is_message(&answer) {
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => answer.extend_from_slice(&buffer[..count]),
            Ok(0) | Err(_) => break,
        }
    }
    answer
}

fn is_message(bytes: &[u8]) -> bool {
    let body = Header::of(bytes).and_then(|header| header.body_len());
    body.is_some_and(|body| bytes.len() >= HEADER_BYTES + body)
}

/// The first flight of a handshake that will never go on.
fn client_hello(place: &HostPort) -> Result<Vec<u8>, String> {
    let in_words = |error: &dyn std::fmt::Display| error.to_string();
    let host = place.host.strip_suffix('.').unwrap_or(&place.host);
    let name = ServerName::try_from(host.to_owned()).map_err(|error| in_words(&error))?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| in_words(&error))?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| in_words(&error))?;
    let mut hello = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut hello).map_err(|error: io::Error| in_words(&error))?;
    }
    Ok(hello)
}

/// RFC 8446, 5.1: the content types of records.
const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
/// MongoDB's code of the refusal: `SSLHandshakeFailed`.
const REFUSED: i32 = 141;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::{ALERT, HANDSHAKE, REFUSED, verify};
    use crate::mongo::{Request, error_document};
    use crate::net::HostPort;
    use crate::policy::Mode;

    /// A server that answers TLS by one byte, and plaintext by an error of this code, or by an end.
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
    async fn a_node_does_as_its_mode_says_or_not() {
        for (tls, code, mode, expected) in [
            (HANDSHAKE, None, Mode::Allow, Ok(1)),
            (ALERT, None, Mode::Disabled, Ok(1)),
            (HANDSHAKE, Some(REFUSED), Mode::Require, Ok(2)),
            (HANDSHAKE, None, Mode::Require, Ok(2)),
            (HANDSHAKE, Some(0), Mode::Require, Err("still answers plaintext")),
            (HANDSHAKE, None, Mode::Disabled, Err("answers TLS by a handshake in mode disabled")),
            (ALERT, None, Mode::Prefer, Err("answers TLS by an alert")),
            (b'H', None, Mode::Prefer, Err("no TLS")),
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
