//! The error reply to a refused client, so that its user sees a reason instead of "connection closed".
//!
//! The reply is determined from a bounded number of first bytes; the command itself is not parsed. There is no reply to
//! messages that expect none, nor to bytes that are not a valid first message.

use bson::{raw::RawDocumentBuf, rawdoc};

use super::{
    encode::{AWAIT_CAPABLE, QUERY_FAILURE, op_msg, op_reply},
    header::{HEADER_BYTES, Header, OpCode, body_len},
    msg_body::MORE_TO_COME,
    reply::error_document,
};

use crate::limits::MAX_NAMESPACE_BYTES;

/// Code of the reply to plaintext if TLS is required: mongod's `SSLHandshakeFailed`.
pub const TLS_REQUIRED: (i32, &str) = (141, "SSLHandshakeFailed");
/// Text of that reply, the same as mongod's.
pub const TLS_REQUIRED_TEXT: &str = "The server is configured to only allow SSL connections";
/// Code of the reply if the upstream cannot be reached. The caller provides the text.
pub const HOST_UNREACHABLE: (i32, &str) = (6, "HostUnreachable");
/// Code of the reply to a client that may not connect in this way; drivers do not retry it. The caller provides the
/// text.
pub const UNAUTHORIZED: (i32, &str) = (13, "Unauthorized");

/// The maximum length of an opening: with this many bytes, the result is never [`Refusal::NeedMore`].
pub const MAX_OPENING_BYTES: usize = HEADER_BYTES + FLAGS_BYTES + MAX_NAMESPACE_BYTES + 1;

/// How to close a refused connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The opening is too short to decide; at most [`MAX_OPENING_BYTES`] are needed.
    NeedMore,
    /// Send this message, then close the connection.
    Reply(Vec<u8>),
    /// Close the connection without a reply.
    NoReply,
}

/// The reply to a connection that starts with these bytes.
pub fn refusal(opening: &[u8], code: i32, code_name: &str, errmsg: &str) -> Refusal {
    let Some(header) = Header::of(opening) else {
        // An invalid length is refused at once: the rest of the header may never arrive.
        return match opening.first_chunk().map(|length| body_len(i32::from_le_bytes(*length))) {
            Some(None) => Refusal::NoReply,
            Some(Some(_)) | None => Refusal::NeedMore,
        };
    };
    let (true, Some(op_code), Some(body_len)) = (header.opens(), header.op_code(), header.body_len()) else {
        return Refusal::NoReply;
    };
    // Bytes after the message belong to the next one.
    let body = &opening[HEADER_BYTES..];
    let body = &body[..body.len().min(body_len)];
    let cut = body.len() < body_len;
    let answer = || Refusal::Reply(op_msg(REQUEST_ID, header.request_id, &error_document(code, code_name, errmsg)));
    let failure = || {
        let error = query_error(code, errmsg);
        Refusal::Reply(op_reply(REQUEST_ID, header.request_id, QUERY_FAILURE | AWAIT_CAPABLE, &error))
    };
    match op_code {
        OpCode::Msg => match body.first_chunk().map(|flags| u32::from_le_bytes(*flags) & MORE_TO_COME) {
            Some(0) => answer(),
            Some(_) => Refusal::NoReply,
            None => unfinished(cut),
        },
        OpCode::Query => match namespace(body) {
            Namespace::Command => {
                let error = error_document(code, code_name, errmsg);
                Refusal::Reply(op_reply(REQUEST_ID, header.request_id, AWAIT_CAPABLE, &error))
            }
            Namespace::Collection => failure(),
            Namespace::TooLong => Refusal::NoReply,
            Namespace::Unfinished => unfinished(cut),
        },
        OpCode::GetMore => failure(),
        OpCode::Reply
        | OpCode::Update
        | OpCode::Insert
        | OpCode::Delete
        | OpCode::KillCursors
        | OpCode::Command
        | OpCode::CommandReply
        | OpCode::Compressed => Refusal::NoReply,
    }
}

/// The result for an incomplete field: more bytes are needed, unless the message ends before the field does.
fn unfinished(cut: bool) -> Refusal {
    if cut { Refusal::NeedMore } else { Refusal::NoReply }
}

/// The error reply to a legacy query, which has `$err` instead of `errmsg`.
fn query_error(code: i32, errmsg: &str) -> RawDocumentBuf {
    rawdoc! { "$err": errmsg, "code": code, "ok": 0.0 }
}

/// The namespace of an OP_QUERY.
enum Namespace {
    /// `db.$cmd`: the query is a command.
    Command,
    /// Any other namespace.
    Collection,
    /// Longer than mongod allows.
    TooLong,
    /// The end of the namespace was not received yet.
    Unfinished,
}

/// The namespace in the body of an OP_QUERY, after its flags.
fn namespace(body: &[u8]) -> Namespace {
    let name = body.get(FLAGS_BYTES..).unwrap_or_default();
    match name.iter().take(MAX_NAMESPACE_BYTES + 1).position(|&byte| byte == 0) {
        Some(end) if name[..end].ends_with(b".$cmd") => Namespace::Command,
        Some(_) => Namespace::Collection,
        None if name.len() > MAX_NAMESPACE_BYTES => Namespace::TooLong,
        None => Namespace::Unfinished,
    }
}

/// Bytes of an OP_QUERY's flags.
const FLAGS_BYTES: usize = 4;
/// The request ID of the reply, the only message that the proxy sends on the connection.
const REQUEST_ID: i32 = 1;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::{
        super::{
            Reply,
            encode::frame,
            request::{msg_command, query_command},
        },
        *,
    };

    const TEXT: &str = "not like this";

    fn refuse(opening: &[u8]) -> Refusal {
        refusal(opening, TLS_REQUIRED.0, TLS_REQUIRED.1, TEXT)
    }

    /// An OP_QUERY with this namespace.
    fn query(name: &str) -> Vec<u8> {
        frame(42, 0, OpCode::Query, &[&[4, 0, 0, 0], name.as_bytes(), &[0; 9], rawdoc! { "a": 1 }.as_bytes()].concat())
    }

    /// Messages, whether they are answered, and the number of bytes after which this is decided.
    fn cases() -> Vec<(&'static str, Vec<u8>, bool, usize)> {
        let ping = rawdoc! { "ping": 1 };
        let op = |op, length: usize| frame(42, 0, op, &vec![0; length]);
        vec![
            ("OP_MSG", msg_command(42, "admin", &ping), true, 20),
            ("OP_MSG moreToCome", frame(42, 0, OpCode::Msg, &[2, 0, 0, 0, 0]), false, 20),
            ("OP_MSG without flags", op(OpCode::Msg, 3), false, 19),
            ("OP_MSG of a header", op(OpCode::Msg, 0), false, 16),
            ("command by OP_QUERY", query_command(42, "admin", &ping), true, 31),
            ("command in a database of no name", query(".$cmd"), true, 26),
            ("OP_QUERY", query("db.coll"), true, 28),
            ("OP_QUERY, longest name", query(&"n".repeat(255)), true, 276),
            ("OP_QUERY, name too long", query(&"n".repeat(256)), false, 276),
            ("OP_QUERY, name past the end", frame(42, 0, OpCode::Query, b"\0\0\0\0name"), false, 24),
            ("OP_GET_MORE", op(OpCode::GetMore, 20), true, 16),
            ("OP_INSERT", op(OpCode::Insert, 20), false, 16),
            ("OP_UPDATE", op(OpCode::Update, 20), false, 16),
            ("OP_DELETE", op(OpCode::Delete, 20), false, 16),
            ("OP_KILL_CURSORS", op(OpCode::KillCursors, 20), false, 16),
            ("OP_COMPRESSED", op(OpCode::Compressed, 20), false, 16),
            ("OP_COMMAND", op(OpCode::Command, 20), false, 16),
            ("OP_REPLY", op(OpCode::Reply, 20), false, 16),
            ("responseTo -1", frame(42, -1, OpCode::GetMore, &[0; 20]), true, 16),
            ("responseTo 5", frame(42, 5, OpCode::Msg, &[0; 20]), false, 16),
            ("HTTP", b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec(), false, 4),
            ("all ones", vec![255; 40], false, 4),
        ]
    }

    #[test]
    fn every_prefix_waits_or_answers_right() {
        for (name, message, answered, known_after) in cases() {
            for cut in 0..=message.len() {
                let refusal = refuse(&message[..cut]);
                match refusal {
                    Refusal::NeedMore => assert!(cut < known_after, "{name}: still waits at {cut}"),
                    Refusal::NoReply => assert!(!answered && cut >= known_after, "{name}: silent at {cut}"),
                    Refusal::Reply(reply) => {
                        assert!(answered && cut >= known_after, "{name}: answers at {cut}");
                        assert_eq!(Reply::parse(&reply).unwrap().header.response_to, 42, "{name}");
                    }
                }
            }
            let more = [message, vec![0xff; 400]].concat();
            assert_ne!(refuse(&more), Refusal::NeedMore, "{name}: what follows is another message");
        }
    }

    #[test]
    fn answers_have_the_shape_their_operation_expects() {
        let error = error_document(TLS_REQUIRED.0, TLS_REQUIRED.1, TEXT);
        let failure = rawdoc! { "$err": TEXT, "code": 141, "ok": 0.0 };
        for (opening, op_code, flags, document) in [
            (msg_command(42, "admin", &rawdoc! { "ping": 1 }), 2013, 0, &error),
            (query("admin.$cmd"), 1, 8, &error),
            (query("admin.coll"), 1, 8 | 2, &failure),
            (frame(42, 0, OpCode::GetMore, &[0; 20]), 1, 8 | 2, &failure),
        ] {
            let Refusal::Reply(reply) = refuse(&opening) else { panic!("no reply") };
            assert_eq!(u32::from_le_bytes(*reply[HEADER_BYTES..].first_chunk().unwrap()), flags);
            let reply = Reply::parse(&reply).unwrap();
            assert_eq!((reply.header.op_code, &reply.document), (op_code, document));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_wait_for_ever() {
        // A fixed pseudo-random sequence (xorshift), so that a failure is reproducible.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        };
        for round in 0..20_000 {
            let mut bytes: Vec<u8> = (0..MAX_OPENING_BYTES).map(|_| next()).collect();
            if round % 2 == 0 {
                // A valid header, so that the rest is parsed.
                let op_code = OpCode::ALL[round / 2 % OpCode::ALL.len()];
                let message_length = 16 + i32::from(next());
                let header = Header { message_length, request_id: 42, response_to: 0, op_code: op_code.number() };
                bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
            }
            for cut in [0, 3, 4, 15, 16, 17, 19, 20, 21, 100] {
                let _ = refuse(&bytes[..cut]);
            }
            assert_ne!(refuse(&bytes), Refusal::NeedMore, "{bytes:?}");
        }
    }
}
