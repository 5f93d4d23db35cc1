//! The framing of one direction: where its messages begin and end.

use crate::mongo::header::{HEADER_BYTES, Header, OpCode};

/// One direction: within a message, or between two.
#[derive(Debug, Default)]
pub(super) struct Direction {
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

/// A message, as far as its header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    /// Of a request its own number, of an answer the number of the request that it answers.
    pub(super) request: i32,
    pub(super) op_code: OpCode,
}

/// What one step of a direction has found.
pub(super) enum Step<'a> {
    /// Not MongoDB.
    Lost,
    /// Part of a header.
    Within,
    /// A stretch of one message, with the part of its body that is in it.
    Stretch { message: Message, begun: bool, ended: bool, body: &'a [u8] },
}

impl Direction {
    /// Bytes of the current message that may pass without being taken: all but the last.
    pub(super) fn unseen(&self) -> usize {
        match self.current {
            Some(_) => usize::try_from(self.remaining).map_or(0, |left| left - 1),
            None => 0,
        }
    }

    pub(super) fn passed(&mut self, count: usize) {
        if self.current.is_some() {
            // No more than remains: it fits.
            self.remaining = self.remaining.saturating_sub(u32::try_from(count).unwrap_or_default());
        }
    }

    pub(super) fn is_between(&self) -> bool {
        self.current.is_none() && self.cut.is_none()
    }

    /// Takes the next stretch of one message off `bytes`.
    pub(super) fn step<'a>(&mut self, bytes: &mut &'a [u8], request: impl Fn(&Header) -> i32) -> Step<'a> {
        let (message, begun) = match self.current {
            Some(message) => (message, false),
            None => {
                let Some(header) = self.header(bytes) else { return Step::Within };
                let (Some(length), Some(op_code)) = (header.body_len(), header.op_code()) else { return Step::Lost };
                let Ok(length) = u32::try_from(length) else { return Step::Lost };
                self.remaining = length;
                (Message { request: request(&header), op_code }, true)
            }
        };
        // Where the rest does not fit a number of this machine, what is here does.
        let remaining = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        let (body, rest) = bytes.split_at(remaining.min(bytes.len()));
        *bytes = rest;
        // No more than what remains: it fits.
        self.remaining -= u32::try_from(body.len()).unwrap_or(self.remaining);
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
