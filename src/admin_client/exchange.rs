//! One HTTP/1.1 request on its own connection.

use std::error::Error;
use std::fmt::Display;
use std::io;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;

use super::address::AdminAddress;
use super::error::ClientError;
use crate::limits::CLIENT_ANSWER_BYTES;
use crate::stream::Stream;
use crate::tls::HandshakeError;

#[derive(Debug, Clone)]
pub(super) struct AdminRequest {
    pub(super) method: Method,
    pub(super) path: String,
    /// The JSON body; empty unless the request makes a change.
    pub(super) body: String,
}

fn request(address: &AdminAddress, question: AdminRequest) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let AdminRequest { method, path, body } = question;
    Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address.host_header())
        .header(USER_AGENT, concat!("tlsramp/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))
}

/// Sends the request and reads the response, whatever its status and body are.
pub(super) async fn ask(
    stream: Stream,
    address: &AdminAddress,
    question: AdminRequest,
) -> Result<(StatusCode, Bytes), ClientError> {
    let request = request(address, question).map_err(|error| broken(address, &error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failure(address, &error))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| failure(address, &error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), CLIENT_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| body_failure(address, &*error))?;
        Ok((status, body.to_bytes()))
    };
    // The connection must be polled for the answer to arrive. If the connection fails, `answer` fails too, but only the
    // connection's own error contains a TLS error.
    let driven = async {
        match connection.await {
            Err(error) if tls_failure(&error).is_some() => failure(address, &error),
            Ok(()) | Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        error = driven => Err(error),
        answer = answer => answer,
    }
}

fn failure(address: &AdminAddress, error: &hyper::Error) -> ClientError {
    let shown = address.to_string();
    if let Some(error) = tls_failure(error) {
        // In TLS 1.3, the server's alert about our certificate arrives only after the handshake.
        return ClientError::Handshake { address: shown, error };
    }
    if error.is_parse() {
        return ClientError::NotTlsramp { address: shown, found: "the answer is not HTTP".into() };
    }
    if error.is_incomplete_message() {
        let found = "it closed the connection without an answer; if it uses TLS, give --tls";
        return ClientError::NotTlsramp { address: shown, found: found.into() };
    }
    broken(address, error)
}

fn body_failure(address: &AdminAddress, error: &(dyn Error + Send + Sync + 'static)) -> ClientError {
    if error.is::<LengthLimitError>() {
        return ClientError::TooLarge { address: address.to_string(), most: CLIENT_ANSWER_BYTES };
    }
    broken(address, &error)
}

/// Finds the TLS error within hyper's errors, whose nesting depth varies.
fn tls_failure(error: &hyper::Error) -> Option<HandshakeError> {
    let causes = std::iter::successors(error.source(), |error: &&(dyn Error + 'static)| (*error).source());
    let below =
        causes.filter_map(|cause| cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>());
    below.cloned().map(HandshakeError::Tls).next()
}

fn broken(address: &AdminAddress, error: &dyn Display) -> ClientError {
    ClientError::Broken { address: address.to_string(), error: error.to_string() }
}
