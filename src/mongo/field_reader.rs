//! Reads the fields of a message in order, within its bounds.

use bson::raw::RawDocument;

/// The reason why a message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The message is shorter than its fields, or its length differs from the one in its header.
    #[error("the message's length does not match its content")]
    Length,
    /// An unsupported operation.
    #[error("operation {0} is not supported")]
    OpCode(i32),
    /// Unknown required flag bits of an OP_MSG.
    #[error("unknown required OP_MSG flags {0:#x}")]
    Flags(u32),
    /// An OP_MSG section of unknown kind, a missing or repeated body, or an incomplete document sequence.
    #[error("malformed OP_MSG section")]
    Section,
    /// More documents in one message than [`MAX_DOCUMENTS`](crate::limits::MAX_DOCUMENTS).
    #[error("too many documents in one message")]
    TooManyDocuments,
    /// Invalid BSON, or a name that is not UTF-8.
    #[error("malformed BSON")]
    Bson,
    /// A command without a name or without `$db`, or an OP_QUERY on another collection than `db.$cmd`.
    #[error("the message is not a command")]
    NotACommand,
}

/// The unread rest of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldReader<'a>(pub(super) &'a [u8]);

impl<'a> FieldReader<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reads text up to a zero byte, which is consumed too.
    pub(super) fn cstring(&mut self) -> Result<&'a str, Malformed> {
        let end = self.0.iter().position(|&byte| byte == 0).ok_or(Malformed::Length)?;
        let text = self.take(end)?;
        self.0 = &self.0[1..];
        std::str::from_utf8(text).map_err(|_| Malformed::Bson)
    }

    /// Reads a document. Its length and terminator are checked, its elements are not.
    pub(super) fn document(&mut self) -> Result<&'a RawDocument, Malformed> {
        let length = FieldReader(self.0).i32()?;
        let bytes = self.take(usize::try_from(length).map_err(|_| Malformed::Bson)?)?;
        RawDocument::from_bytes(bytes).map_err(|_| Malformed::Bson)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Malformed::Length)?;
        self.0 = rest;
        Ok(*head)
    }
}
