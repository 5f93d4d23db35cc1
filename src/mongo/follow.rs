//! Where the messages of a connection begin and end, and whether a request is still without its answer.
//!
//! Follows the headers of both directions from the first byte, so that a boundary is known and not guessed: for a
//! small message that is one header read, for a large one a subtraction. Of the body of a request only the first bytes
//! are looked at, which say its [kind](Kind), decompressed where they are compressed. While the connection is watched,
//! it is also learnt whether the last request was part of an open transaction, and whether a cursor has more to give.
//!
//! A server answers the requests of one connection in their order, so the answer to the last one settles all before it.

mod direction;
mod watch;

use super::kind::Kind;
use crate::limits::FOLLOWED_HEAD_BYTES;
use direction::{Direction, Message, Step};
pub use watch::Transaction;
use watch::Watch;

/// Follows one connection.
#[derive(Debug, Default)]
pub struct Follower {
    up: Direction,
    down: Direction,
    /// The last request that wants an answer and has none yet.
    asked: Option<i32>,
    /// What that was before the last request, which may want none.
    before: Option<i32>,
    /// The kind of the last request, once enough of it has come.
    kind: Option<Kind>,
    /// Not MongoDB, or not as it is known here: there are no boundaries any more.
    lost: bool,
    /// Whether a request that wants no answer has ever come.
    unanswered: bool,
    /// The beginning of a request that does not say its kind yet. Boxed: it seldom comes in parts.
    head: Option<Box<Head>>,
    /// Set while the connection is watched.
    watch: Option<Box<Watch>>,
}

/// The beginning of a request's body.
#[derive(Debug)]
struct Head {
    bytes: Vec<u8>,
    /// With how many it is looked at again: twice as many as in vain, so that a client that sends byte by byte does not
    /// cost a decompression for each.
    next_look: usize,
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
                        self.before = self.asked;
                        self.asked = Some(message.request);
                        self.kind = None;
                    }
                    if self.kind.is_none() {
                        self.look(&message, body, ended);
                    }
                    if let Some(watch) = &mut self.watch {
                        watch.request(&message, begun, ended, body);
                    }
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
                Step::Within => {}
                Step::Stretch { message, begun, ended, body } => {
                    if let Some(watch) = &mut self.watch {
                        watch.answer(&message, begun, ended, body);
                    }
                    if ended {
                        self.answered(message.request);
                    }
                }
            }
        }
    }

    /// How many of the client's next bytes need not be taken, but counted by [`Follower::passed_up`]: those within a
    /// body that nobody looks at. Not the last of it, with which the message ends.
    #[must_use]
    pub fn unseen_up(&self) -> usize {
        match (self.lost, &self.watch, self.kind) {
            (true, ..) => usize::MAX,
            (false, None, Some(_)) => self.up.unseen(),
            (false, ..) => 0,
        }
    }

    /// The same for the server's.
    #[must_use]
    pub fn unseen_down(&self) -> usize {
        match (self.lost, &self.watch) {
            (true, _) => usize::MAX,
            (false, None) => self.down.unseen(),
            (false, Some(_)) => 0,
        }
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

    /// Whether this is the connection of a driver's monitor, which has asked for a stream of answers to `hello` and does
    /// nothing else on it, and neither direction is within a message. It may be ended whether or not the next answer has
    /// come: its server holds that back for ten seconds, and the monitor waits for another in any case.
    #[must_use]
    pub fn is_monitor(&self) -> bool {
        !self.lost && self.kind == Some(Kind::Monitor) && self.up.is_between() && self.down.is_between()
    }

    /// Whether a request that wants no answer has ever come.
    #[must_use]
    pub fn has_unanswered(&self) -> bool {
        self.unanswered
    }

    /// From now on the bodies of requests and answers are looked at too.
    pub fn watch(&mut self) {
        self.watch.get_or_insert_default();
    }

    /// Whether the last request was part of an open transaction; unknown unless watched.
    #[must_use]
    pub fn transaction(&self) -> Transaction {
        self.watch.as_ref().map_or(Transaction::Unknown, |watch| watch.transaction)
    }

    /// Whether, since the watch began, a cursor was answered for that has more batches and that its reader does not
    /// resume by itself.
    #[must_use]
    pub fn has_cursor(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.cursor_open)
    }

    /// Whether, since the watch began, a request that wants no answer has come.
    #[must_use]
    pub fn sends_unanswered(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.unanswered)
    }

    fn answered(&mut self, request_id: i32) {
        // It may be the one before a request that is under way and wants none.
        for open in [&mut self.asked, &mut self.before] {
            if *open == Some(request_id) {
                *open = None;
            }
        }
    }

    /// Learns the kind of a request, from this stretch or from what was kept of those before it.
    fn look(&mut self, message: &Message, body: &[u8], ended: bool) {
        let Some(head) = &mut self.head else {
            self.kind = Kind::of(message.op_code, body, ended);
            if self.kind.is_none() {
                let kept = &body[..body.len().min(FOLLOWED_HEAD_BYTES)];
                self.head = Some(Box::new(Head { bytes: kept.to_vec(), next_look: kept.len() * 2 }));
            }
            return;
        };
        let room = FOLLOWED_HEAD_BYTES - head.bytes.len();
        head.bytes.extend_from_slice(&body[..body.len().min(room)]);
        let complete = ended || head.bytes.len() == FOLLOWED_HEAD_BYTES;
        if complete || head.bytes.len() >= head.next_look.max(HEAD_LEAST) {
            self.kind = Kind::of(message.op_code, &head.bytes, complete);
            head.next_look = head.bytes.len() * 2;
        }
        if self.kind.is_some() {
            self.head = None;
        }
    }

    fn request_ended(&mut self, message: &Message) {
        if self.kind == Some(Kind::Unanswered) {
            self.unanswered = true;
            if let Some(watch) = &mut self.watch {
                watch.unanswered = true;
            }
            // Its answer may have come already, from a server that did not read to the end.
            if self.asked == Some(message.request) {
                self.asked = self.before;
            }
        }
    }
}

/// With how many bytes of a request it is looked at, at least: what says the kind of one that is not compressed.
const HEAD_LEAST: usize = 16;

#[cfg(test)]
mod tests;
