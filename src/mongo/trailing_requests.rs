//! Requests that a client still sends after the proxy has sent it the end of the stream.
//!
//! Complete requests that expect no reply are forwarded. The first request that expects a reply, is not MongoDB, or is
//! longer than [`LAST_REQUEST_BYTES`] is refused: it was never run, and a reset tells the client so.

use super::header::{HEADER_BYTES, Header};
use super::request_kind::RequestKind;
use crate::limits::LAST_REQUEST_BYTES;

/// Collects the bytes that a client sends after the close.
#[derive(Debug, Default)]
pub struct TrailingRequests {
    buffer: Vec<u8>,
}

/// The handling of received bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct TrailingSplit {
    /// Complete requests that expect no reply.
    pub unanswered: Vec<u8>,
    /// Whether a refused request follows.
    pub refused: bool,
}

impl TrailingRequests {
    /// Processes the client's next bytes. The first call begins at a message boundary.
    pub fn take(&mut self, bytes: &[u8]) -> TrailingSplit {
        self.buffer.extend_from_slice(bytes);
        let mut whole = 0;
        let refused = loop {
            match next(&self.buffer[whole..]) {
                Next::Unanswered(length) => whole += length,
                Next::More => break false,
                Next::Refused => break true,
            }
        };
        let rest = self.buffer.split_off(whole);
        TrailingSplit { unanswered: std::mem::replace(&mut self.buffer, rest), refused }
    }
}

enum Next {
    /// A complete request of this length.
    Unanswered(usize),
    More,
    Refused,
}

fn next(bytes: &[u8]) -> Next {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Next::More };
    let header = Header::parse(header);
    let (Some(length), Some(op_code)) = (header.body_len(), header.op_code()) else { return Next::Refused };
    if length > LAST_REQUEST_BYTES {
        return Next::Refused;
    }
    let whole = rest.get(..length);
    match RequestKind::of(op_code, whole.unwrap_or(rest), whole.is_some()) {
        Some(RequestKind::Answered | RequestKind::Monitor) => Next::Refused,
        Some(RequestKind::Unanswered) if whole.is_some() => Next::Unanswered(HEADER_BYTES + length),
        Some(RequestKind::Unanswered) | None => Next::More,
    }
}

#[cfg(test)]
mod tests {
    use super::TrailingRequests;
    use crate::mongo::request::msg_command;
    use bson::rawdoc;

    fn quiet(filling: usize) -> Vec<u8> {
        let mut message = msg_command(3, "d", &rawdoc! { "insert": "c", "x": "x".repeat(filling) });
        message[16] = 2;
        message
    }

    #[test]
    fn whole_requests_that_want_no_answer_pass_and_nothing_after_the_first_that_wants_one() {
        let asking = msg_command(4, "d", &rawdoc! { "find": "c" });
        let stream = [quiet(0), quiet(5000), asking.clone(), quiet(1)].concat();
        let expected = [quiet(0), quiet(5000)].concat();
        for size in [1, 16, 40, 1000, stream.len()] {
            let mut requests = TrailingRequests::default();
            let mut passed = Vec::new();
            let refused = stream.chunks(size).any(|chunk| {
                let sorted = requests.take(chunk);
                passed.extend(sorted.unanswered);
                sorted.refused
            });
            assert!(refused, "chunks of {size}");
            assert_eq!(passed, expected);
        }
    }

    #[test]
    fn a_part_is_kept_and_what_is_too_long_or_no_message_is_refused() {
        let mut requests = TrailingRequests::default();
        let whole = quiet(10);
        let sorted = requests.take(&whole[..whole.len() - 1]);
        assert!(sorted.unanswered.is_empty() && !sorted.refused);
        assert_eq!(requests.take(&whole[whole.len() - 1..]).unanswered, whole);
        let mut long = whole;
        long[..4].copy_from_slice(&40_000_000_u32.to_le_bytes());
        for bytes in [&long[..], b"GET / HTTP/1.1\r\n\r\n"] {
            assert!(TrailingRequests::default().take(bytes).refused);
        }
    }
}
