//! Inspects message bodies: whether the last request was part of an open transaction, and whether the last cursor has
//! more batches.

use bson::raw::RawDocument;

use super::framing::FramedMessage;
use crate::limits::{FOLLOWED_HEAD_BYTES, FOLLOWED_PLAIN_BYTES, FOLLOWED_TAIL_BYTES};
use crate::mongo::compressed;
use crate::mongo::header::OpCode;

/// Whether the last request was part of a multi-statement transaction. Such a request cannot be retried by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transaction {
    /// No complete request was inspected yet.
    #[default]
    Unknown,
    /// The last request was not part of a transaction.
    None,
    /// The last request was part of a transaction that is still open.
    Open,
}

/// The state of an inspected connection.
#[derive(Debug, Default)]
pub(super) struct BodyInspector {
    request: Gathered,
    answer: Gathered,
    pub(super) transaction: Transaction,
    /// Whether the last cursor has more batches and the driver does not resume it automatically.
    pub(super) cursor_open: bool,
    /// Whether a request that expects no reply was inspected.
    pub(super) unanswered: bool,
    /// Whether the last request reads a batch of a cursor. A `getMore` with a time limit does not count: it waits on a
    /// cursor without an end.
    reads_cursor: bool,
}

/// The beginning and the end of the body of a message.
#[derive(Debug, Default)]
struct Gathered {
    /// Whether the message began after the inspection started.
    active: bool,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl BodyInspector {
    pub(super) fn request(&mut self, message: &FramedMessage, begun: bool, ended: bool, body: &[u8]) {
        if let Some(plain) = self.request.take(message, begun, ended, body) {
            let document = first_document(&plain.head);
            // A request that cannot be parsed counts as not part of a transaction.
            let open = document.is_some_and(is_open_transaction);
            self.transaction = if open { Transaction::Open } else { Transaction::None };
            self.reads_cursor = document.is_some_and(reads_cursor);
        }
    }

    pub(super) fn answer(&mut self, message: &FramedMessage, begun: bool, ended: bool, body: &[u8]) {
        if let Some(plain) = self.answer.take(message, begun, ended, body) {
            match plain.cursor() {
                Some(CursorState::Open) => self.cursor_open = true,
                Some(CursorState::Ended | CursorState::Resumed) => self.cursor_open = false,
                // A reply that is too large to be read to its end may contain a cursor.
                None => self.cursor_open |= self.reads_cursor && plain.cut,
            }
        }
    }
}

impl Gathered {
    /// Processes a part of a body. Once the message has ended, returns the bytes that were kept of it, decompressed if
    /// it was compressed.
    fn take(&mut self, message: &FramedMessage, begun: bool, ended: bool, body: &[u8]) -> Option<Plain> {
        self.active |= begun;
        if !self.active {
            return None;
        }
        let compressed = message.op_code == OpCode::Compressed;
        let most = if compressed { FOLLOWED_HEAD_BYTES } else { FOLLOWED_PLAIN_BYTES };
        let (head, rest) = body.split_at(body.len().min(most.saturating_sub(self.head.len())));
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(FOLLOWED_TAIL_BYTES)..];
        self.tail.extend_from_slice(rest);
        self.tail.drain(..self.tail.len().saturating_sub(FOLLOWED_TAIL_BYTES));
        if !ended {
            return None;
        }
        let Gathered { head, tail, .. } = std::mem::take(self);
        let inner = head.first_chunk().and_then(|number| OpCode::from_i32(i32::from_le_bytes(*number)));
        Some(match (message.op_code, inner) {
            (OpCode::Msg, _) => Plain { cut: !tail.is_empty(), head, tail },
            (OpCode::Compressed, Some(OpCode::Msg)) => {
                let plain = compressed::head(&head, FOLLOWED_PLAIN_BYTES).unwrap_or_default();
                let size = head.get(4..8).and_then(<[u8]>::first_chunk).map_or(0, |size| u32::from_le_bytes(*size));
                let cut = usize::try_from(size).map_or(true, |size| plain.len() < size);
                Plain { head: plain, tail: Vec::new(), cut }
            }
            _ => Plain { head: Vec::new(), tail: Vec::new(), cut: false },
        })
    }
}

/// The bytes that were kept of an OP_MSG's body.
struct Plain {
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Whether the body is longer than `head`.
    cut: bool,
}

/// The cursor in a reply.
enum CursorState {
    Open,
    /// There are no more batches.
    Ended,
    /// The cursor has no end: a change stream, which drivers resume if the connection is lost, or a tailable cursor, which
    /// an application has to open again after any error.
    Resumed,
}

impl Plain {
    /// The state of the cursor in a reply; `None` if the reply has no cursor, or if the cursor was not kept. mongod
    /// writes the batch before the ID and the name of the cursor, so these are at the end of the reply.
    fn cursor(&self) -> Option<CursorState> {
        if self.cut && self.tail.is_empty() {
            return None;
        }
        let end = [&self.head[self.head.len().saturating_sub(FOLLOWED_TAIL_BYTES)..], &self.tail].concat();
        let at = end.windows(ID.len() + 8 + NAME.len()).rposition(|window| {
            let (id, rest) = window.split_at(ID.len());
            id == ID && rest[8..] == *NAME
        })?;
        let id = end.get(at + ID.len()..)?.first_chunk().map(|id| i64::from_le_bytes(*id))?;
        let has = |part: &[u8]| [&self.head, &end].iter().any(|bytes| bytes.windows(part.len()).any(|at| at == part));
        Some(match id {
            0 => CursorState::Ended,
            _ if RESUMED.iter().any(|sign| has(sign)) => CursorState::Resumed,
            _ => CursorState::Open,
        })
    }
}

/// Whether a command is part of a transaction that stays open after it.
fn is_open_transaction(document: &RawDocument) -> bool {
    let ends = |name: &str| ["commitTransaction", "abortTransaction"].contains(&name);
    document.get_bool("autocommit").is_ok_and(|auto| !auto) && !name(document).is_some_and(ends)
}

/// Whether a command reads a batch. A `getMore` with a time limit is not counted: it waits for new documents of a
/// tailable cursor.
fn reads_cursor(document: &RawDocument) -> bool {
    match name(document) {
        Some("find" | "aggregate" | "listCollections" | "listIndexes") => true,
        Some("getMore") => document.get("maxTimeMS").is_ok_and(|limit| limit.is_none()),
        _ => false,
    }
}

fn name(document: &RawDocument) -> Option<&str> {
    document.into_iter().next().and_then(Result::ok).map(|(name, _)| name.as_str())
}

/// The document of section 0, if it comes first, as drivers write it.
fn first_document(body: &[u8]) -> Option<&RawDocument> {
    let (kind, rest) = body.get(4..)?.split_first()?;
    let length = usize::try_from(i32::from_le_bytes(*rest.first_chunk()?)).ok()?;
    (*kind == 0).then(|| rest.get(..length).and_then(|document| RawDocument::from_bytes(document).ok()))?
}

/// The element `id`, a 64-bit integer, and the beginning of the element `ns`, which follows.
const ID: &[u8] = b"\x12id\0";
const NAME: &[u8] = b"\x02ns\0";
/// Signs of a cursor without an end: the token of a change stream, or an empty batch that is not the last. The reply to a
/// command with `batchSize: 0` looks the same.
const RESUMED: [&[u8]; 3] = [b"postBatchResumeToken\0", b"nextBatch\0\x05\0\0\0\0", b"firstBatch\0\x05\0\0\0\0"];
