//! Request bodies: JSON, bounded in size and time.

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::{Request, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::reply::HttpReply;
use crate::limits::ADMIN_REQUEST;

/// Reads a body of at most `most` bytes.
///
/// # Errors
/// The reply to a body that is not JSON by its content type, too large, too slow, or incomplete.
pub(super) async fn read(request: Request<Incoming>, most: usize) -> Result<Bytes, HttpReply> {
    if !is_json(request.headers()) {
        let text = "send Content-Type: application/json";
        return Err(HttpReply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", text));
    }
    let body = request.into_body();
    // A body whose announced length is too large is not read at all.
    if body.size_hint().lower() > most as u64 {
        return Err(too_large(most));
    }
    match timeout(ADMIN_REQUEST, Limited::new(body, most).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(most)),
        Ok(Err(error)) => Err(HttpReply::bad_request(format!("cannot read the request body: {error}; send it again"))),
        Err(_) => {
            let text = format!("the request body did not arrive within {} s; send it again", ADMIN_REQUEST.as_secs());
            Err(HttpReply::error(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", text))
        }
    }
}

/// Parses a body.
///
/// # Errors
/// The reply that names the key or the position of the mistake.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HttpReply> {
    serde_json::from_slice(bytes).map_err(|error| {
        let error = crate::text::printable(&error.to_string());
        HttpReply::bad_request(format!("the request body is invalid: {error}"))
    })
}

/// Whether the content type is `application/json`, with any parameters. Browsers send requests with this content type
/// to another site only after a preflight request.
fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else { return false };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

fn too_large(most: usize) -> HttpReply {
    let text = format!("the request body exceeds the limit of {most} bytes");
    HttpReply::error(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge", text)
}

#[cfg(test)]
mod tests {
    use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

    use super::is_json;

    #[test]
    fn json_and_nothing_that_a_form_can_send() {
        for (kind, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("application/jsonp", false),
            ("text/plain; application/json", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(is_json(&headers), expected, "{kind}");
            headers.append(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            assert!(!is_json(&headers), "two of them");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
