//! HTTP replies. Each error except that of `/readyz` is an [`ErrorReply`], with the remedy in its text.

use http_body_util::{Either, Full};
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::event_body::EventBody;
use super::page::{Asset, HEADERS};
use crate::admin::replies::{BlockerReply, ErrorReply};
use crate::control::{Blocker, ChangeError};
use crate::telemetry::{AcceptError, Format};

/// A reply.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HttpReply {
    pub(super) status: StatusCode,
    kind: &'static str,
    body: Bytes,
    /// The methods of the path, for the `Allow` header.
    allow: Option<&'static str>,
    /// Whether the connection is closed after this reply.
    closes: bool,
}

/// The body of a response.
pub(super) type ReplyBody = Either<Full<Bytes>, EventBody>;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

impl HttpReply {
    /// A reply with a value as JSON.
    pub(super) fn json(status: StatusCode, view: &impl Serialize) -> HttpReply {
        // Replies are structs of plain fields, so serializing them does not fail.
        let mut body = serde_json::to_vec(view).unwrap_or_default();
        body.push(b'\n');
        HttpReply { status, kind: JSON, body: body.into(), allow: None, closes: false }
    }

    /// A reply with a JSON document that is serialized already.
    pub(super) fn made(body: Bytes) -> HttpReply {
        HttpReply { status: StatusCode::OK, kind: JSON, body, allow: None, closes: false }
    }

    /// A reply in plain text.
    pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> HttpReply {
        HttpReply { status, kind: TEXT, body: text.into(), allow: None, closes: false }
    }

    /// A reply with metrics, in the negotiated format.
    pub(super) fn metrics(text: String, format: Format) -> HttpReply {
        HttpReply { status: StatusCode::OK, kind: format.content_type(), body: text.into(), allow: None, closes: false }
    }

    /// A reply with a file of the page.
    pub(super) fn asset(asset: Asset) -> HttpReply {
        HttpReply { kind: asset.kind, ..HttpReply::text(StatusCode::OK, asset.text) }
    }

    /// An error reply.
    pub(super) fn error(status: StatusCode, code: &str, text: impl Into<String>) -> HttpReply {
        HttpReply::blocked(status, code, text.into(), Vec::new())
    }

    fn blocked(status: StatusCode, code: &str, error: String, blockers: Vec<Blocker>) -> HttpReply {
        HttpReply::json(
            status,
            &ErrorReply {
                error,
                code: code.to_owned(),
                blockers: blockers.into_iter().map(BlockerReply::from).collect(),
            },
        )
    }

    /// The reply to a malformed request.
    pub(super) fn bad_request(text: impl Into<String>) -> HttpReply {
        HttpReply::error(StatusCode::BAD_REQUEST, "BadRequest", text)
    }

    /// The reply to a request that is not permitted to this client.
    pub(super) fn forbidden(text: impl Into<String>) -> HttpReply {
        HttpReply::error(StatusCode::FORBIDDEN, "Forbidden", text)
    }

    /// Closes the connection after this reply.
    pub(super) fn closing(self) -> HttpReply {
        HttpReply { closes: true, ..self }
    }

    /// The reply to an unknown path.
    pub(super) fn not_found(path: &str) -> HttpReply {
        let path = crate::text::printable(path);
        HttpReply::error(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!("unknown path {path}; docs/src/reference/admin-http.md lists the paths of the admin port"),
        )
    }

    /// The reply to a method that the path does not have.
    pub(super) fn not_allowed(allow: &'static str) -> HttpReply {
        let text = format!("this path accepts only {allow}");
        HttpReply { allow: Some(allow), ..HttpReply::error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", text) }
    }

    /// Converts to a response. For HEAD, hyper omits the body and keeps the length.
    pub(super) fn into_response(self) -> Response<ReplyBody> {
        let HttpReply { status, kind, body, allow, closes } = self;
        let length = body.len();
        let mut response = response(kind, Either::Left(Full::new(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// The response with the events of a page.
pub(super) fn event_stream(body: EventBody) -> Response<ReplyBody> {
    response("text/event-stream", Either::Right(body))
}

fn response(kind: &'static str, body: ReplyBody) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// The reply to a refused acceptance of a client.
impl From<AcceptError> for HttpReply {
    fn from(refused: AcceptError) -> HttpReply {
        let error = refused.to_string();
        match refused {
            AcceptError::Key(_) | AcceptError::Full => HttpReply::bad_request(error),
            AcceptError::Unseen(_) => HttpReply::error(StatusCode::NOT_FOUND, "UnknownClient", error),
        }
    }
}

/// The reply to a refused change.
impl From<ChangeError> for HttpReply {
    fn from(refused: ChangeError) -> HttpReply {
        let error = refused.to_string();
        let (status, code, blockers) = match refused {
            ChangeError::Transition(_) => (StatusCode::CONFLICT, "IllegalTransition", Vec::new()),
            ChangeError::Unservable { .. } => (StatusCode::CONFLICT, "Unservable", Vec::new()),
            ChangeError::Unreachable { blockers, .. } => (StatusCode::CONFLICT, "Unreachable", blockers),
            ChangeError::Guarded { blockers, .. } => (StatusCode::CONFLICT, ErrorReply::GUARDED, blockers),
            ChangeError::Leased { .. } => (StatusCode::CONFLICT, "Leased", Vec::new()),
            ChangeError::Names(_) => (StatusCode::BAD_REQUEST, "BadRequest", Vec::new()),
            ChangeError::NoStateFile => (StatusCode::CONFLICT, "NoStateFile", Vec::new()),
            ChangeError::Unusable(_) => (StatusCode::CONFLICT, "Unusable", Vec::new()),
            ChangeError::Configuration(_) => (StatusCode::CONFLICT, "Configuration", Vec::new()),
            ChangeError::StateFile { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "StateFile", Vec::new()),
            ChangeError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "Busy", Vec::new()),
            ChangeError::Replaced => (StatusCode::SERVICE_UNAVAILABLE, "Replaced", Vec::new()),
            ChangeError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Internal", Vec::new()),
        };
        HttpReply::blocked(status, code, error, blockers)
    }
}
