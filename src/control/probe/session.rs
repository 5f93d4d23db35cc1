//! One connection to a server, on which `hello` is sent.

use std::net::SocketAddr;

use bson::raw::{RawDocument, RawDocumentBuf, cstr};
use bson::rawdoc;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::hello::HelloReply;
use crate::limits::{PROBE_ANSWER, PROBE_ANSWER_BYTES, Timeouts};
use crate::mongo::{CommandError, MongoClient};
use crate::net::{DialError, OwnDial, linger};
use crate::policy::Permit;
use crate::stream::Stream;
use crate::telemetry::LinkFailure;
use crate::text::printable;
use crate::tls::{Material, PeerFault};
use crate::upstream::{LinkError, Upstream};

/// An open link to a server.
pub(crate) struct ProbeSession {
    client: MongoClient<Stream>,
    pub(crate) tls_version: Option<&'static str>,
    /// `notAfter` of the server's certificate in seconds since 1970, if the link is TLS.
    pub(crate) certificate_ends: Option<i64>,
    asked: bool,
    /// Marks the connection as our own dial while it is open, so that our listeners detect a loop.
    _dial: Option<OwnDial>,
}

/// The outcome of a `hello`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HelloOutcome {
    /// A reply.
    Hello(HelloReply),
    /// The link works, but the server does not answer as MongoDB does.
    Strange(String),
    /// An error reply that shows that the link or the server behind it is unusable.
    Refused(LinkFailure),
    /// The server ended the connection.
    Closed(String),
}

impl ProbeSession {
    /// Makes the link that a permit allows.
    ///
    /// # Errors
    /// The reason why the link cannot be made.
    pub(crate) async fn open(
        permit: Permit,
        upstream: &Upstream,
        material: &Material,
        times: Timeouts,
        note: impl FnOnce(SocketAddr, SocketAddr) -> OwnDial,
    ) -> Result<ProbeSession, LinkFailure> {
        let other = |error: DialError| LinkFailure { text: error.to_string(), fault: PeerFault::Other };
        let dialled = upstream.dial(permit, times.connect).await.map_err(other)?;
        let dial = dialled.local.zip(dialled.remote).map(|(local, remote)| note(local, remote));
        let by_tls = |error: LinkError| LinkFailure { text: error.to_string(), fault: error.fault() };
        let stream = upstream.link(dialled, None, material, times.handshake).await.map_err(by_tls)?;
        let (tls_version, certificate_ends) = (stream.tls_version(), stream.certificate_ends());
        Ok(ProbeSession {
            client: MongoClient::over(stream).limited(PROBE_ANSWER_BYTES),
            tls_version,
            certificate_ends,
            asked: false,
            _dial: dial,
        })
    }

    /// Sends a `hello` as OP_QUERY, which servers of every version answer.
    pub(crate) async fn hello(&mut self) -> HelloOutcome {
        let mut question = rawdoc! { "isMaster": 1, "helloOk": true };
        let asked_before = std::mem::replace(&mut self.asked, true);
        if !asked_before {
            // The client metadata; a server accepts it once for each connection.
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
            Ok(Err(CommandError::Malformed(_) | CommandError::Refused { .. })) => {
                HelloOutcome::Strange(NO_MONGODB.into())
            }
            Ok(Err(CommandError::Closed)) => HelloOutcome::Closed(self.closed(asked_before, "")),
            Ok(Err(CommandError::Io(error))) => HelloOutcome::Closed(self.closed(asked_before, &format!(" ({error})"))),
            Err(_) => HelloOutcome::Strange(format!("no answer within {} s", PROBE_ANSWER.as_secs())),
        }
    }

    /// Sends a command without credentials; `None` if it is not answered in time, or the connection fails.
    pub(crate) async fn ask(&mut self, command: &RawDocument) -> Option<Result<RawDocumentBuf, i32>> {
        match timeout(PROBE_ANSWER, self.client.command("admin", command)).await.ok()? {
            Ok(document) => Some(Ok(document)),
            Err(CommandError::Refused { code, .. }) => Some(Err(code)),
            Err(CommandError::Malformed(_) | CommandError::Closed | CommandError::Io(_)) => None,
        }
    }

    /// The likely reason for a closed connection. A mongod that requires TLS, or that refuses our certificate, closes
    /// it without an answer.
    fn closed(&self, asked_before: bool, error: &str) -> String {
        match self.tls_version {
            _ if asked_before => format!("the server closed the connection{error}"),
            Some(_) => {
                format!(
                    "the server closes the connection after the TLS handshake{error}: does it refuse the certificate \
                     of tlsramp?"
                )
            }
            None => format!("the server closes the connection without an answer{error}: does it require TLS?"),
        }
    }

    /// Closes the connection after reading the remaining input: unread input, such as a TLS ticket, would cause a
    /// reset.
    pub(crate) async fn close(self) {
        linger(self.client.into_inner()).await;
    }

    /// Returns when the server has ended the connection.
    pub(crate) async fn ended(&mut self) {
        // No request is pending, so the server sends nothing; if it does, the connection is not usable.
        let _ = self.client.stream().read(&mut [0; 1]).await;
    }
}

/// Reads an answer. If the peer is another tlsramp, the answer may be an error of that proxy, because the server behind
/// the proxy is down, or because the proxy accepts only TLS.
fn answer(document: &RawDocument) -> HelloOutcome {
    if let Some(hello) = HelloReply::read(document) {
        return HelloOutcome::Hello(hello);
    }
    let Ok(said) = document.get_str("errmsg") else { return HelloOutcome::Strange(NO_MONGODB.into()) };
    let text = format!("the server answers: {}", printable(said));
    match document.get_i32("code") {
        Ok(WANTS_TLS) => HelloOutcome::Refused(LinkFailure {
            text: format!("the server accepts only TLS ({text})"),
            fault: PeerFault::WantsTls,
        }),
        Ok(HOST_UNREACHABLE) => HelloOutcome::Refused(LinkFailure { text, fault: PeerFault::Other }),
        Ok(_) | Err(_) => HelloOutcome::Strange(text),
    }
}

/// `SSLHandshakeFailed`: the answer to plaintext from a server that accepts only TLS.
const WANTS_TLS: i32 = 141;
/// `HostUnreachable`: the answer of a tlsramp whose own server is down.
const HOST_UNREACHABLE: i32 = 6;

const NO_MONGODB: &str = "the server answers, but not as MongoDB does";

impl std::fmt::Debug for ProbeSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProbeSession").field("tls_version", &self.tls_version).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, rawdoc};

    use super::{HelloOutcome, answer};
    use crate::tls::PeerFault;

    #[test]
    fn an_error_is_no_hello() {
        let only_tls = "The server is configured to only allow SSL connections";
        let rows: [(RawDocumentBuf, Option<PeerFault>, &str); 5] = [
            (rawdoc! { "ok": 0.0, "errmsg": only_tls, "code": 141 }, Some(PeerFault::WantsTls), "accepts only TLS"),
            (
                rawdoc! { "ok": 0.0, "errmsg": "no server", "code": 6 },
                Some(PeerFault::Other),
                "the server answers: no server",
            ),
            (rawdoc! { "ok": 0.0, "errmsg": "busy\n", "code": 1 }, None, "the server answers: busy\\n"),
            (rawdoc! { "ok": 0.0, "errmsg": "strange" }, None, "the server answers: strange"),
            (rawdoc! { "ok": 0.0, "code": 141 }, None, "not as MongoDB does"),
        ];
        for (document, fault, text) in rows {
            match answer(&document) {
                HelloOutcome::Refused(failure) => {
                    assert_eq!(Some(failure.fault), fault, "{text}");
                    assert!(failure.text.contains(text), "{}", failure.text);
                }
                HelloOutcome::Strange(said) => assert!(fault.is_none() && said.contains(text), "{said}"),
                other @ (HelloOutcome::Hello(_) | HelloOutcome::Closed(_)) => panic!("{other:?}"),
            }
        }
        assert!(matches!(answer(&rawdoc! { "ok": 1.0, "ismaster": true }), HelloOutcome::Hello(_)));
    }
}
