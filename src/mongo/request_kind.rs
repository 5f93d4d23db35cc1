//! Determines from the first bytes of a request's body whether the request expects a reply, and whether it comes from a
//! driver's monitor.
//!
//! OP_COMPRESSED is decompressed as far as needed. A request that cannot be read is assumed to expect a reply: its
//! connection has no message boundary until this request or a later one is answered, so that nothing is cut off.

use super::compressed::{self, PRELUDE_BYTES};
use super::header::OpCode;
use super::msg_body::MORE_TO_COME;

/// The replies that a request expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestKind {
    /// No reply: unacknowledged writes (`w: 0`), mirrored reads, the legacy `killCursors` and writes, and messages that
    /// are replies themselves.
    Unanswered,
    /// A reply is expected, or it is unknown whether one is.
    Answered,
    /// A stream of replies to `hello`: the connection is a driver's monitor.
    Monitor,
}

impl RequestKind {
    /// The kind of a request by the beginning of its body; `None` if more bytes are needed. With `complete`, `body` is
    /// the whole body.
    pub(super) fn of(op_code: OpCode, body: &[u8], complete: bool) -> Option<RequestKind> {
        match op_code {
            OpCode::Msg if body.len() >= HEAD_BYTES || complete => Some(RequestKind::of_msg(body)),
            OpCode::Msg => None,
            OpCode::Compressed => RequestKind::of_compressed(body).or(complete.then_some(RequestKind::Answered)),
            OpCode::Update | OpCode::Insert | OpCode::Delete | OpCode::KillCursors => Some(RequestKind::Unanswered),
            OpCode::Reply | OpCode::CommandReply => Some(RequestKind::Unanswered),
            OpCode::Query | OpCode::GetMore | OpCode::Command => Some(RequestKind::Answered),
        }
    }

    fn of_compressed(body: &[u8]) -> Option<RequestKind> {
        let prelude = body.first_chunk::<PRELUDE_BYTES>()?;
        let [a, b, c, d, size @ .., _] = *prelude;
        match OpCode::from_i32(i32::from_le_bytes([a, b, c, d])) {
            Some(OpCode::Msg) => {}
            Some(OpCode::Compressed) | None => return Some(RequestKind::Answered),
            Some(op_code) => return RequestKind::of(op_code, &[], true),
        }
        let Some(plain) = compressed::head(body, HEAD_BYTES) else { return Some(RequestKind::Answered) };
        let complete = usize::try_from(u32::from_le_bytes(size)).is_ok_and(|size| plain.len() >= size);
        RequestKind::of(OpCode::Msg, &plain, complete)
    }

    fn of_msg(plain: &[u8]) -> RequestKind {
        // A message without flags is malformed, and the server ends the connection.
        let Some((flags, sections)) = plain.split_first_chunk() else { return RequestKind::Answered };
        let flags = u32::from_le_bytes(*flags);
        // Skips the kind of the section, the length of the document and the type of its first element, to the element's
        // name.
        let name = sections.get(6..).unwrap_or_default();
        let hello = [&b"hello\0"[..], b"isMast", b"ismast"].iter().any(|hello| name.starts_with(hello));
        if flags & MORE_TO_COME != 0 {
            RequestKind::Unanswered
        } else if flags & EXHAUST_ALLOWED != 0 && sections.first() == Some(&0) && hello {
            RequestKind::Monitor
        } else {
            RequestKind::Answered
        }
    }
}

/// Bytes of an OP_MSG that decide its kind: flags, kind of section, length, type of element, six bytes of its name.
const HEAD_BYTES: usize = 4 + 1 + 4 + 1 + 6;
/// Flag bit: the reply may be a stream.
const EXHAUST_ALLOWED: u32 = 1 << 16;
