//! Answers and errors. Each error is an [`ErrorReply`] and says what to do.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::admin::replies::{BlockerReply, ErrorReply};
use crate::control::{Blocker, ChangeError};
use crate::telemetry::Format;

/// An answer, before it is one of HTTP's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    kind: &'static str,
    body: Bytes,
    /// The methods that a path has, where another was used.
    allow: Option<&'static str>,
    /// Whether the connection ends with this answer.
    closes: bool,
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

impl Reply {
    /// A view.
    pub(super) fn json(status: StatusCode, view: &impl Serialize) -> Reply {
        // Views are structs of plain fields: they do not fail to serialize.
        let mut body = serde_json::to_vec(view).unwrap_or_default();
        body.push(b'\n');
        Reply { status, kind: JSON, body: body.into(), allow: None, closes: false }
    }

    /// A JSON document that is made already.
    pub(super) fn made(body: Bytes) -> Reply {
        Reply { status: StatusCode::OK, kind: JSON, body, allow: None, closes: false }
    }

    /// A text for a probe.
    pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Reply {
        Reply { status, kind: TEXT, body: text.into().into(), allow: None, closes: false }
    }

    /// Metrics.
    pub(super) fn metrics(text: String, format: Format) -> Reply {
        Reply { status: StatusCode::OK, kind: format.content_type(), body: text.into(), allow: None, closes: false }
    }

    /// An error.
    pub(super) fn error(status: StatusCode, code: &str, text: impl Into<String>) -> Reply {
        Reply::blocked(status, code, text.into(), Vec::new())
    }

    fn blocked(status: StatusCode, code: &str, error: String, blockers: Vec<Blocker>) -> Reply {
        Reply::json(
            status,
            &ErrorReply {
                error,
                code: code.to_owned(),
                blockers: blockers.into_iter().map(BlockerReply::from).collect(),
            },
        )
    }

    /// A request that is wrong in itself.
    pub(super) fn bad_request(text: impl Into<String>) -> Reply {
        Reply::error(StatusCode::BAD_REQUEST, "BadRequest", text)
    }

    /// A request that this visitor may not make.
    pub(super) fn forbidden(text: impl Into<String>) -> Reply {
        Reply::error(StatusCode::FORBIDDEN, "Forbidden", text)
    }

    /// The same answer, and the end of the connection.
    pub(super) fn closing(self) -> Reply {
        Reply { closes: true, ..self }
    }

    /// A path that is none.
    pub(super) fn not_found(path: &str) -> Reply {
        let path = crate::text::printable(path);
        Reply::error(StatusCode::NOT_FOUND, "NotFound", format!("there is no {path} here"))
    }

    /// A method that a path does not have.
    pub(super) fn not_allowed(allow: &'static str) -> Reply {
        let text = format!("this path takes {allow}");
        Reply { allow: Some(allow), ..Reply::error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", text) }
    }

    /// As hyper sends it. It leaves the body of an answer to HEAD out, and the length in.
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let Reply { status, kind, body, allow, closes } = self;
        let length = body.len();
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// What the controller refuses.
impl From<ChangeError> for Reply {
    fn from(refused: ChangeError) -> Reply {
        let error = refused.to_string();
        let (status, code, blockers) = match refused {
            ChangeError::Transition(_) => (StatusCode::CONFLICT, "IllegalTransition", Vec::new()),
            ChangeError::Unservable { .. } => (StatusCode::CONFLICT, "Unservable", Vec::new()),
            ChangeError::Unreachable { blockers, .. } => (StatusCode::CONFLICT, "Unreachable", blockers),
            ChangeError::Guarded { blockers, .. } => (StatusCode::CONFLICT, "Guarded", blockers),
            ChangeError::Leased { .. } => (StatusCode::CONFLICT, "Leased", Vec::new()),
            ChangeError::Names(_) => (StatusCode::BAD_REQUEST, "BadRequest", Vec::new()),
            ChangeError::NoStateFile => (StatusCode::CONFLICT, "NoStateFile", Vec::new()),
            ChangeError::Unusable(_) => (StatusCode::CONFLICT, "Unusable", Vec::new()),
            ChangeError::Configuration(_) => (StatusCode::CONFLICT, "Configuration", Vec::new()),
            ChangeError::StateFile { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "StateFile", Vec::new()),
            ChangeError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "Busy", Vec::new()),
            ChangeError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Internal", Vec::new()),
        };
        Reply::blocked(status, code, error, blockers)
    }
}
