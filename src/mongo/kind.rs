//! The kind of a request, from the first bytes of its body: whether it wants an answer, and whether it is a monitor's.
//!
//! Inside OP_COMPRESSED too. A request whose first bytes cannot be read is taken to want an answer: then its connection
//! has no boundary until a later request has been answered, and nothing is cut off.

use super::body::MORE_TO_COME;
use super::compressed::{self, PRELUDE_BYTES};
use super::header::OpCode;

/// What a request expects of its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No answer: unacknowledged writes (`w: 0`), mirrored reads, `killCursors` and writes before OP_MSG.
    Unanswered,
    /// An answer, or that is not known.
    Answered,
    /// A stream of answers to `hello`: it is the connection by which a driver watches the server.
    Monitor,
}

impl Kind {
    /// The kind of a request of which this much of the body is there; `None` if more is needed. `complete`: there is no
    /// more, or no more of it is kept.
    pub(super) fn of(op_code: OpCode, body: &[u8], complete: bool) -> Option<Kind> {
        match op_code {
            OpCode::Msg if body.len() >= HEAD_BYTES || complete => Some(Kind::of_msg(body)),
            OpCode::Msg => None,
            OpCode::Compressed => Kind::of_compressed(body).or(complete.then_some(Kind::Answered)),
            OpCode::Update | OpCode::Insert | OpCode::Delete | OpCode::KillCursors => Some(Kind::Unanswered),
            OpCode::Reply | OpCode::CommandReply => Some(Kind::Unanswered),
            OpCode::Query | OpCode::GetMore | OpCode::Command => Some(Kind::Answered),
        }
    }

    fn of_compressed(body: &[u8]) -> Option<Kind> {
        let prelude = body.first_chunk::<PRELUDE_BYTES>()?;
        let [a, b, c, d, size @ .., _] = *prelude;
        match OpCode::from_i32(i32::from_le_bytes([a, b, c, d])) {
            Some(OpCode::Msg) => {}
            Some(OpCode::Compressed) | None => return Some(Kind::Answered),
            Some(op_code) => return Kind::of(op_code, &[], true),
        }
        let Some(plain) = compressed::head(body, HEAD_BYTES) else { return Some(Kind::Answered) };
        let complete = usize::try_from(u32::from_le_bytes(size)).is_ok_and(|size| plain.len() >= size);
        Kind::of(OpCode::Msg, &plain, complete)
    }

    fn of_msg(plain: &[u8]) -> Kind {
        // Without flags it is malformed, and its server ends the connection.
        let Some((flags, sections)) = plain.split_first_chunk() else { return Kind::Answered };
        let flags = u32::from_le_bytes(*flags);
        // The kind of the section, the length of the document, the type of its first element, and its name.
        let name = sections.get(6..).unwrap_or_default();
        let hello = [&b"hello\0"[..], b"isMast", b"ismast"].iter().any(|hello| name.starts_with(hello));
        if flags & MORE_TO_COME != 0 {
            Kind::Unanswered
        } else if flags & EXHAUST_ALLOWED != 0 && sections.first() == Some(&0) && hello {
            Kind::Monitor
        } else {
            Kind::Answered
        }
    }
}

/// Bytes of an OP_MSG that say its kind: flags, kind of section, length, type of element, six bytes of its name.
const HEAD_BYTES: usize = 4 + 1 + 4 + 1 + 6;
/// Flag bit: the answer may be a stream.
const EXHAUST_ALLOWED: u32 = 1 << 16;
