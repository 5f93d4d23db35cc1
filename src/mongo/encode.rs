//! Builds messages that contain one document.

use bson::raw::RawDocument;

use super::header::{HEADER_BYTES, Header, OpCode};

/// OP_REPLY flag: the query failed; the only document is an error with `$err`.
pub(super) const QUERY_FAILURE: u32 = 1 << 1;
/// OP_REPLY flag that mongod sets in every reply since 1.6: the server supports cursors that await data.
pub(super) const AWAIT_CAPABLE: u32 = 1 << 3;

/// An OP_MSG with this document and no flags.
pub(super) fn op_msg(request_id: i32, response_to: i32, document: &RawDocument) -> Vec<u8> {
    // Four bytes of flags, and one for the kind of the only section.
    frame(request_id, response_to, OpCode::Msg, &[&[0; 5], document.as_bytes()].concat())
}

/// An OP_REPLY with this document and no cursor.
pub(super) fn op_reply(request_id: i32, response_to: i32, flags: u32, document: &RawDocument) -> Vec<u8> {
    // Cursor ID 0, starting position 0, one document.
    let body = [&flags.to_le_bytes(), &[0; 12][..], &1_i32.to_le_bytes(), document.as_bytes()].concat();
    frame(request_id, response_to, OpCode::Reply, &body)
}

/// A message with this body. If the length does not fit its field, the field has the largest value, which every reader
/// refuses.
pub(super) fn frame(request_id: i32, response_to: i32, op_code: OpCode, body: &[u8]) -> Vec<u8> {
    let message_length = i32::try_from(HEADER_BYTES + body.len()).unwrap_or(i32::MAX);
    let header = Header { message_length, request_id, response_to, op_code: op_code.number() };
    [&header.encode(), body].concat()
}
