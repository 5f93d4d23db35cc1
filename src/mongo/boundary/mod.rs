//! Follows the message boundaries of a connection, and whether a request is unanswered.
//!
//! The headers of both directions are read from the first byte on. Of a request's body, only the first bytes are read,
//! which determine its [kind](RequestKind). While the connection is inspected, bodies are read too, to find out whether
//! the last request was part of an open transaction, and whether a cursor has more batches.
//!
//! A server answers the requests of one connection in order, so the reply to the last request means that all earlier
//! ones are answered.

mod framing;
mod inspection;

use crate::limits::FOLLOWED_HEAD_BYTES;
use crate::mongo::request_kind::RequestKind;
use framing::{FramedMessage, Framing, FramingStep};
use inspection::BodyInspector;
pub use inspection::Transaction;

/// Follows the messages of one connection.
#[derive(Debug, Default)]
pub struct Follower {
    up: Framing,
    down: Framing,
    /// The last request that expects a reply and has none yet.
    asked: Option<i32>,
    /// The value of `asked` before the last request, which may turn out to expect no reply.
    before: Option<i32>,
    /// The kind of the last request, once enough bytes were received.
    kind: Option<RequestKind>,
    /// Whether the boundaries are unknown: the bytes are not MongoDB, or the operation is unknown.
    lost: bool,
    /// Whether a request that expects no reply was ever received.
    unanswered: bool,
    /// The beginning of a request whose kind is not known yet. Boxed, since requests seldom arrive in small parts.
    head: Option<Box<Head>>,
    /// Set while bodies are inspected.
    watch: Option<Box<BodyInspector>>,
}

/// The beginning of a request's body.
#[derive(Debug)]
struct Head {
    bytes: Vec<u8>,
    /// The length at which the kind is determined again: twice the previous length, so that a client that sends single
    /// bytes does not cause a decompression for each.
    next_look: usize,
}

impl Follower {
    /// Processes bytes sent by the client.
    pub fn sent(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lost {
            match self.up.step(&mut bytes, |header| header.request_id) {
                FramingStep::Lost => self.lost = true,
                FramingStep::Within => {}
                FramingStep::Stretch { message, begun, ended, body } => {
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

    /// Processes bytes sent by the server.
    pub fn received(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lost {
            match self.down.step(&mut bytes, |header| header.response_to) {
                FramingStep::Lost => self.lost = true,
                FramingStep::Within => {}
                FramingStep::Stretch { message, begun, ended, body } => {
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

    /// The number of the client's next bytes that need not be passed to [`Follower::sent`], but only counted by
    /// [`Follower::passed_up`]: those within a body that is not read, except for its last byte.
    pub fn unseen_up(&self) -> usize {
        match (self.lost, &self.watch, self.kind) {
            (true, ..) => usize::MAX,
            (false, None, Some(_)) => self.up.unseen(),
            (false, ..) => 0,
        }
    }

    /// As [`Follower::unseen_up`], for the server's bytes.
    pub fn unseen_down(&self) -> usize {
        match (self.lost, &self.watch) {
            (true, _) => usize::MAX,
            (false, None) => self.down.unseen(),
            (false, Some(_)) => 0,
        }
    }

    /// Counts bytes of the client that were not passed, at most [`Follower::unseen_up`].
    pub fn passed_up(&mut self, count: usize) {
        self.up.passed(count);
    }

    /// Counts bytes of the server that were not passed, at most [`Follower::unseen_down`].
    pub fn passed_down(&mut self, count: usize) {
        self.down.passed(count);
    }

    /// Whether neither direction is within a message, and every request that expects a reply was answered.
    pub fn at_boundary(&self) -> bool {
        !self.lost && self.asked.is_none() && self.up.is_between() && self.down.is_between()
    }

    /// Whether all bytes so far were MongoDB.
    pub fn speaks_mongodb(&self) -> bool {
        !self.lost
    }

    /// Whether this is the connection of a driver's monitor, which has requested a stream of replies to `hello`, and
    /// neither direction is within a message. Such a connection may be closed although a reply is due: the server
    /// delays that reply for up to ten seconds, and the monitor reconnects.
    pub fn is_monitor(&self) -> bool {
        !self.lost && self.kind == Some(RequestKind::Monitor) && self.up.is_between() && self.down.is_between()
    }

    /// Whether a request that expects no reply was ever received.
    pub fn has_unanswered(&self) -> bool {
        self.unanswered
    }

    /// Inspects the bodies of requests and replies from now on.
    pub fn watch(&mut self) {
        self.watch.get_or_insert_default();
    }

    /// Whether the last request was part of an open transaction; unknown if bodies are not inspected.
    pub fn transaction(&self) -> Transaction {
        self.watch.as_ref().map_or(Transaction::Unknown, |watch| watch.transaction)
    }

    /// Whether an inspected reply had a cursor with more batches that the driver does not resume automatically.
    pub fn has_cursor(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.cursor_open)
    }

    /// Whether a request that expects no reply was inspected.
    pub fn sends_unanswered(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.unanswered)
    }

    fn answered(&mut self, request_id: i32) {
        // The reply may answer the earlier of two requests, while the later one, which expects no reply, is still being
        // sent.
        for open in [&mut self.asked, &mut self.before] {
            if *open == Some(request_id) {
                *open = None;
            }
        }
    }

    /// Determines the kind of a request from this part of its body and the earlier parts.
    fn look(&mut self, message: &FramedMessage, body: &[u8], ended: bool) {
        let Some(head) = &mut self.head else {
            self.kind = RequestKind::of(message.op_code, body, ended);
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
            self.kind = RequestKind::of(message.op_code, &head.bytes, complete);
            head.next_look = head.bytes.len() * 2;
        }
        if self.kind.is_some() {
            self.head = None;
        }
    }

    fn request_ended(&mut self, message: &FramedMessage) {
        if self.kind == Some(RequestKind::Unanswered) {
            self.unanswered = true;
            if let Some(watch) = &mut self.watch {
                watch.unanswered = true;
            }
            // No reply to this request is due. If the server has answered it nevertheless, before its end, `asked` is
            // cleared already and stays so.
            if self.asked == Some(message.request) {
                self.asked = self.before;
            }
        }
    }
}

/// The minimum number of bytes at which the kind is determined again: those that suffice if the request is not
/// compressed.
const HEAD_LEAST: usize = 16;

#[cfg(test)]
mod tests;
