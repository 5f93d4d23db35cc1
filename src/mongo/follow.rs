//! Where the messages of a connection begin and end, and whether a request is still without its answer.
//!
//! Follows the headers of both directions from the first byte, so that a boundary is known and not guessed: for a
//! small message that is one header read, for a large one a subtraction. Bodies are not looked at, but while the
//! connection is watched: then it is also learnt whether a compressed request wants an answer, and whether the last
//! request was part of an open transaction.
//!
//! A server answers the requests of one connection in their order, so the answer to the last one settles all before it.

use bson::raw::RawDocument;

use super::body::MORE_TO_COME;
use super::compressed;
use super::header::{HEADER_BYTES, Header, OpCode};
use crate::limits::{FOLLOWED_HEAD_BYTES, FOLLOWED_PLAIN_BYTES};

/// Follows one connection.
#[derive(Debug, Default)]
pub struct Follower {
    up: Direction,
    down: Direction,
    /// The last request that wants an answer and has none yet.
    asked: Option<i32>,
    /// What that was before the last request, which may want none.
    before: Option<i32>,
    /// Not MongoDB, or not as it is known here: there are no boundaries any more.
    lost: bool,
    /// Set while the connection is watched.
    watch: Option<Box<Watch>>,
}

/// Whether the last request was part of a transaction of several, which cannot be retried by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transaction {
    /// No whole request has been seen since the watch began.
    #[default]
    Unknown,
    /// It was none.
    None,
    /// It was, and the transaction is open.
    Open,
}

/// One direction: within a message, or between two.
#[derive(Debug, Default)]
struct Direction {
    /// The beginning of a header that was cut. Boxed: they seldom are.
    cut: Option<Box<Cut>>,
    /// The message within which it is.
    current: Option<Message>,
    /// Bytes of it that are still to come: a message has fewer than [`crate::limits::MAX_MESSAGE_BYTES`].
    remaining: u32,
}

/// A part of a header, never all of it.
#[derive(Debug, Default)]
struct Cut {
    header: [u8; HEADER_BYTES],
    have: usize,
}

/// A message, as far as it is looked at.
#[derive(Debug, Clone, Copy)]
struct Message {
    /// Of a request its own, of an answer the number of the request that it answers.
    request: i32,
    op_code: OpCode,
    /// The first four bytes of its body. OP_MSG: its flags; OP_COMPRESSED: the operation inside.
    word: [u8; 4],
    word_have: u8,
}

/// What is kept of a watched connection.
#[derive(Debug, Default)]
struct Watch {
    /// The body of the request under way.
    body: Vec<u8>,
    /// Whether that request began since the watch did.
    gathering: bool,
    transaction: Transaction,
}

impl Follower {
    /// Takes bytes of the client.
    pub fn sent(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lost {
            match self.up.step(&mut bytes, |header| header.request_id) {
                Step::Lost => self.lost = true,
                Step::Within => {}
                Step::Stretch { message, begun, ended, body } => {
                    if begun {
                        self.request_begun(&message);
                    }
                    self.gather(&message, body);
                    if ended {
                        self.request_ended(&message);
                    }
                }
            }
        }
    }

    /// Takes bytes of the server.
    pub fn received(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lost {
            match self.down.step(&mut bytes, |header| header.response_to) {
                Step::Lost => self.lost = true,
                Step::Stretch { message, ended: true, .. } => self.answered(message.request),
                Step::Within | Step::Stretch { ended: false, .. } => {}
            }
        }
    }

    /// How many of the client's next bytes need not be taken, but counted by [`Follower::passed_up`]: those within a
    /// body that nobody looks at. Not the last of it, with which the message ends.
    #[must_use]
    pub fn unseen_up(&self) -> usize {
        if self.lost {
            usize::MAX
        } else if self.watch.is_some() {
            0
        } else {
            self.up.unseen()
        }
    }

    /// The same for the server's.
    #[must_use]
    pub fn unseen_down(&self) -> usize {
        if self.lost { usize::MAX } else { self.down.unseen() }
    }

    /// So many of the client's bytes have passed, no more than need not be taken.
    pub fn passed_up(&mut self, count: usize) {
        self.up.passed(count);
    }

    /// So many of the server's.
    pub fn passed_down(&mut self, count: usize) {
        self.down.passed(count);
    }

    /// Whether neither direction is within a message, and every request that wants an answer has it.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        !self.lost && self.asked.is_none() && self.up.is_between() && self.down.is_between()
    }

    /// Whether this is MongoDB, as far as is known.
    #[must_use]
    pub fn speaks_mongodb(&self) -> bool {
        !self.lost
    }

    /// From now on the bodies of requests are looked at too.
    pub fn watch(&mut self) {
        self.watch.get_or_insert_default();
    }

    /// Whether the last request was part of an open transaction; unknown unless watched.
    #[must_use]
    pub fn transaction(&self) -> Transaction {
        self.watch.as_ref().map_or(Transaction::Unknown, |watch| watch.transaction)
    }

    fn answered(&mut self, request_id: i32) {
        // It may be the one before a request that is under way and wants none.
        for open in [&mut self.asked, &mut self.before] {
            if *open == Some(request_id) {
                *open = None;
            }
        }
    }

    fn request_begun(&mut self, message: &Message) {
        self.before = self.asked;
        self.asked = Some(message.request);
        if let Some(watch) = &mut self.watch {
            watch.body.clear();
            watch.gathering = true;
        }
    }

    /// Keeps the body of a request, up to a bound.
    fn gather(&mut self, message: &Message, body: &[u8]) {
        let most = if message.op_code == OpCode::Compressed { FOLLOWED_HEAD_BYTES } else { FOLLOWED_PLAIN_BYTES };
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.gathering) {
            let room = most - watch.body.len().min(most);
            watch.body.extend_from_slice(&body[..body.len().min(room)]);
        }
    }

    fn request_ended(&mut self, message: &Message) {
        let mut wants_answer = message.wants_answer();
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.gathering) {
            watch.gathering = false;
            let body = std::mem::take(&mut watch.body);
            let plain = match (message.op_code, message.inner()) {
                (OpCode::Compressed, Some(OpCode::Msg)) => compressed::head(&body, FOLLOWED_PLAIN_BYTES),
                (OpCode::Msg, _) => Some(body),
                _ => None,
            };
            // What cannot be read is taken to want an answer, and to be no transaction.
            let plain = plain.unwrap_or_default();
            let flags = plain.first_chunk().map_or(0, |flags| u32::from_le_bytes(*flags));
            wants_answer &= flags & MORE_TO_COME == 0;
            watch.transaction = if is_open_transaction(&plain) { Transaction::Open } else { Transaction::None };
        }
        // Its answer may have come already, from a server that did not read to the end.
        if !wants_answer && self.asked == Some(message.request) {
            self.asked = self.before;
        }
    }
}

impl Message {
    fn word(&self) -> u32 {
        u32::from_le_bytes(self.word)
    }

    /// The operation inside a compressed one.
    fn inner(&self) -> Option<OpCode> {
        OpCode::from_i32(self.word().cast_signed())
    }

    /// Whether a server answers it. A compressed OP_MSG is taken to want an answer: its flags are inside.
    fn wants_answer(&self) -> bool {
        let op_code = if self.op_code == OpCode::Compressed { self.inner() } else { Some(self.op_code) };
        match op_code {
            Some(OpCode::Msg) => self.op_code == OpCode::Compressed || self.word() & MORE_TO_COME == 0,
            Some(OpCode::Update | OpCode::Insert | OpCode::Delete | OpCode::KillCursors) => false,
            Some(OpCode::Reply | OpCode::CommandReply) => false,
            Some(OpCode::Query | OpCode::GetMore | OpCode::Command | OpCode::Compressed) | None => true,
        }
    }
}

/// What one step of a direction has found.
enum Step<'a> {
    /// Not MongoDB.
    Lost,
    /// Part of a header.
    Within,
    /// A stretch of one message, with the part of its body that is in it.
    Stretch { message: Message, begun: bool, ended: bool, body: &'a [u8] },
}

impl Direction {
    fn unseen(&self) -> usize {
        match self.current {
            Some(Message { word_have: 4, .. }) => usize::try_from(self.remaining).map_or(0, |left| left - 1),
            Some(_) | None => 0,
        }
    }

    fn passed(&mut self, count: usize) {
        if self.current.is_some() {
            // No more than remains: it fits.
            self.remaining = self.remaining.saturating_sub(u32::try_from(count).unwrap_or_default());
        }
    }

    fn is_between(&self) -> bool {
        self.current.is_none() && self.cut.is_none()
    }

    /// Takes the next stretch of one message off `bytes`.
    fn step<'a>(&mut self, bytes: &mut &'a [u8], request: impl Fn(&Header) -> i32) -> Step<'a> {
        let (mut message, begun) = match self.current {
            Some(message) => (message, false),
            None => {
                let Some(header) = self.header(bytes) else { return Step::Within };
                let (Some(length), Some(op_code)) = (header.body_len(), header.op_code()) else { return Step::Lost };
                let Ok(length) = u32::try_from(length) else { return Step::Lost };
                self.remaining = length;
                (Message { request: request(&header), op_code, word: [0; 4], word_have: 0 }, true)
            }
        };
        // Where the rest does not fit a number of this machine, what is here does.
        let remaining = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        let (body, rest) = bytes.split_at(remaining.min(bytes.len()));
        *bytes = rest;
        // No more than what remains: it fits.
        self.remaining -= u32::try_from(body.len()).unwrap_or(self.remaining);
        let missing = body.iter().take(4 - usize::from(message.word_have));
        for byte in missing {
            message.word[usize::from(message.word_have)] = *byte;
            message.word_have += 1;
        }
        let ended = self.remaining == 0;
        self.current = (!ended).then_some(message);
        Step::Stretch { message, begun, ended, body }
    }

    /// Takes a header off `bytes`; none if it is not whole yet.
    fn header(&mut self, bytes: &mut &[u8]) -> Option<Header> {
        if self.cut.is_none()
            && let Some((header, rest)) = bytes.split_first_chunk()
        {
            *bytes = rest;
            return Some(Header::parse(header));
        }
        let cut = self.cut.get_or_insert_default();
        let (part, rest) = bytes.split_at(bytes.len().min(HEADER_BYTES - cut.have));
        *bytes = rest;
        cut.header[cut.have..cut.have + part.len()].copy_from_slice(part);
        cut.have += part.len();
        let whole = (cut.have == HEADER_BYTES).then(|| Header::parse(&cut.header));
        if whole.is_some() {
            self.cut = None;
        }
        whole
    }
}

/// Whether the plain body of an OP_MSG is a command of a transaction that goes on after it.
fn is_open_transaction(body: &[u8]) -> bool {
    let Some(document) = first_document(body) else { return false };
    let ends = |name: &str| ["commitTransaction", "abortTransaction"].contains(&name);
    let name = document.into_iter().next().and_then(Result::ok);
    document.get_bool("autocommit").is_ok_and(|auto| !auto) && !name.is_some_and(|(name, _)| ends(name.as_str()))
}

/// The document of the section 0, where that comes first, as drivers write it.
fn first_document(body: &[u8]) -> Option<&RawDocument> {
    let (kind, rest) = body.get(4..)?.split_first()?;
    let length = usize::try_from(i32::from_le_bytes(*rest.first_chunk()?)).ok()?;
    (*kind == 0).then(|| rest.get(..length).and_then(|document| RawDocument::from_bytes(document).ok()))?
}

#[cfg(test)]
mod tests;
