//! One connection to a server, and `hello` on it.

use std::net::SocketAddr;

use bson::raw::{RawDocument, cstr};
use bson::rawdoc;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::hello::Hello;
use crate::limits::{PROBE_ANSWER, PROBE_ANSWER_BYTES, Timeouts};
use crate::mongo::{CommandError, MongoClient};
use crate::net::{BoxedStream, DialError, OwnDial, linger};
use crate::policy::Permit;
use crate::telemetry::LinkFailure;
use crate::text::printable;
use crate::tls::{Material, PeerFault};
use crate::upstream::{LinkError, Stream, Upstream};

/// An open link to a server.
pub(crate) struct Session {
    client: MongoClient<BoxedStream>,
    pub(crate) tls_version: Option<&'static str>,
    asked: bool,
    /// Marks the connection as our own dial for as long as it is open, so that a listener of ours recognises a circle.
    _dial: Option<OwnDial>,
}

/// What came of a `hello`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An answer.
    Hello(Hello),
    /// The link stands, and what is behind it does not answer as MongoDB does.
    Strange(String),
    /// An error that says the link, or what is behind it, is not usable.
    Refused(LinkFailure),
    /// The server has ended the connection.
    Closed(String),
}

impl Session {
    /// Makes the link that a permit says.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn open(
        permit: Permit,
        upstream: &Upstream,
        material: &Material,
        times: Timeouts,
        note: impl FnOnce(SocketAddr, SocketAddr) -> OwnDial,
    ) -> Result<Session, LinkFailure> {
        let other = |error: DialError| LinkFailure { text: error.to_string(), fault: PeerFault::Other };
        let dialled = upstream.dial(permit, times.connect).await.map_err(other)?;
        let dial = dialled.local.zip(dialled.remote).map(|(local, remote)| note(local, remote));
        let by_tls = |error: LinkError| LinkFailure { text: error.to_string(), fault: error.fault() };
        let stream = upstream.link(dialled, None, material, times.handshake).await.map_err(by_tls)?;
        let tls_version = stream.tls_version();
        let stream: BoxedStream = match stream {
            Stream::Tcp(stream) => Box::new(stream),
            Stream::Unix(stream) => Box::new(stream),
            Stream::Tls(stream) => Box::new(stream),
        };
        Ok(Session {
            client: MongoClient::over(stream).limited(PROBE_ANSWER_BYTES),
            tls_version,
            asked: false,
            _dial: dial,
        })
    }

    /// Asks for a `hello`, by the one message that servers of every version answer.
    pub(crate) async fn hello(&mut self) -> Answer {
        let mut question = rawdoc! { "isMaster": 1, "helloOk": true };
        let asked_before = std::mem::replace(&mut self.asked, true);
        if !asked_before {
            // Who asks; servers take that once for a connection.
            let version = env!("CARGO_PKG_VERSION");
            let client = rawdoc! {
                "application": { "name": "tlsramp probe" },
                "driver": { "name": "tlsramp", "version": version },
                "os": { "type": std::env::consts::OS },
            };
            question.append(cstr!("client"), client);
        }
        match timeout(PROBE_ANSWER, self.client.query("admin", &question)).await {
            Ok(Ok(document)) => answer(&document),
            Ok(Err(CommandError::Malformed(_) | CommandError::Refused { .. })) => Answer::Strange(NO_MONGODB.into()),
            Ok(Err(CommandError::Closed)) => Answer::Closed(self.closed(asked_before, "")),
            Ok(Err(CommandError::Io(error))) => Answer::Closed(self.closed(asked_before, &format!(" ({error})"))),
            Err(_) => Answer::Strange(format!("no answer within {} s", PROBE_ANSWER.as_secs())),
        }
    }

    /// mongod ends a connection without a word where it wants TLS and gets none, or does not like a certificate.
    fn closed(&self, asked_before: bool, error: &str) -> String {
        match self.tls_version {
            _ if asked_before => format!("it has closed the connection{error}"),
            Some(_) => {
                format!("it closes the connection after the TLS handshake{error}: does it refuse our certificate?")
            }
            None => format!("it closes the connection without an answer{error}: does it require TLS?"),
        }
    }

    /// Ends it as a client does that has got what it came for: closed with input that nobody has read, as a TLS ticket,
    /// it would be a reset to the server.
    pub(crate) async fn close(self) {
        linger(self.client.into_inner()).await;
    }

    /// Returns when the server has ended the connection.
    pub(crate) async fn ended(&mut self) {
        // Nothing was asked, so nothing comes but an end; bytes that come all the same are no server's of ours.
        let _ = self.client.stream().read(&mut [0; 1]).await;
    }
}

/// A `hello`, or why it is none: a tlsramp in between says what it cannot reach, and that it takes TLS only.
fn answer(document: &RawDocument) -> Answer {
    if let Some(hello) = Hello::read(document) {
        return Answer::Hello(hello);
    }
    let Ok(said) = document.get_str("errmsg") else { return Answer::Strange(NO_MONGODB.into()) };
    let text = format!("it answers: {}", printable(said));
    match document.get_i32("code") {
        Ok(WANTS_TLS) => {
            Answer::Refused(LinkFailure { text: format!("it takes TLS only ({text})"), fault: PeerFault::WantsTls })
        }
        Ok(HOST_UNREACHABLE) => Answer::Refused(LinkFailure { text, fault: PeerFault::Other }),
        Ok(_) | Err(_) => Answer::Strange(text),
    }
}

/// `SSLHandshakeFailed`: how a server that takes TLS only answers plaintext.
const WANTS_TLS: i32 = 141;
/// How a tlsramp answers whose own server is down.
const HOST_UNREACHABLE: i32 = 6;

const NO_MONGODB: &str = "it answers, and not as MongoDB does";

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("tls_version", &self.tls_version).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, rawdoc};

    use super::{Answer, answer};
    use crate::tls::PeerFault;

    #[test]
    fn an_error_is_no_hello() {
        let only_tls = "The server is configured to only allow SSL connections";
        let rows: [(RawDocumentBuf, Option<PeerFault>, &str); 5] = [
            (rawdoc! { "ok": 0.0, "errmsg": only_tls, "code": 141 }, Some(PeerFault::WantsTls), "takes TLS only"),
            (rawdoc! { "ok": 0.0, "errmsg": "no server", "code": 6 }, Some(PeerFault::Other), "it answers: no server"),
            (rawdoc! { "ok": 0.0, "errmsg": "busy\n", "code": 1 }, None, "it answers: busy\\n"),
            (rawdoc! { "ok": 0.0, "errmsg": "strange" }, None, "it answers: strange"),
            (rawdoc! { "ok": 0.0, "code": 141 }, None, "not as MongoDB does"),
        ];
        for (document, fault, text) in rows {
            match answer(&document) {
                Answer::Refused(failure) => {
                    assert_eq!(Some(failure.fault), fault, "{text}");
                    assert!(failure.text.contains(text), "{}", failure.text);
                }
                Answer::Strange(said) => assert!(fault.is_none() && said.contains(text), "{said}"),
                other @ (Answer::Hello(_) | Answer::Closed(_)) => panic!("{other:?}"),
            }
        }
        assert!(matches!(answer(&rawdoc! { "ok": 1.0, "ismaster": true }), Answer::Hello(_)));
    }
}
