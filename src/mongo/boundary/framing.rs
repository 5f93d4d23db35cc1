//! The message framing of one direction.

use crate::mongo::header::{HEADER_BYTES, Header, OpCode};

/// The position in the messages of one direction.
#[derive(Debug, Default)]
pub(super) struct Framing {
    /// The beginning of an incomplete header. Boxed, since headers seldom arrive in parts.
    cut: Option<Box<Cut>>,
    /// The current message; `None` between two messages.
    current: Option<FramedMessage>,
    /// The number of bytes of the current message that are still to come.
    remaining: u32,
}

/// An incomplete header.
#[derive(Debug, Default)]
struct Cut {
    header: [u8; HEADER_BYTES],
    have: usize,
}

/// The header of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct FramedMessage {
    /// The ID of the request, or of the request that a reply answers.
    pub(super) request: i32,
    pub(super) op_code: OpCode,
}

/// The result of [`Framing::step`].
pub(super) enum FramingStep<'a> {
    /// The bytes are not MongoDB.
    Lost,
    /// The bytes are part of an incomplete header.
    Within,
    /// The bytes are part of one message; `body` has those of its body.
    Stretch { message: FramedMessage, begun: bool, ended: bool, body: &'a [u8] },
}

impl Framing {
    /// The number of next bytes of the current message that need not be read: all but the last.
    pub(super) fn unseen(&self) -> usize {
        match self.current {
            Some(_) => usize::try_from(self.remaining).map_or(0, |left| left - 1),
            None => 0,
        }
    }

    pub(super) fn passed(&mut self, count: usize) {
        if self.current.is_some() {
            // The conversion does not fail: `count` is at most what remains.
            self.remaining = self.remaining.saturating_sub(u32::try_from(count).unwrap_or_default());
        }
    }

    pub(super) fn is_between(&self) -> bool {
        self.current.is_none() && self.cut.is_none()
    }

    /// Takes the next part of a message from the front of `bytes`.
    pub(super) fn step<'a>(&mut self, bytes: &mut &'a [u8], request: impl Fn(&Header) -> i32) -> FramingStep<'a> {
        let (message, begun) = match self.current {
            Some(message) => (message, false),
            None => {
                let Some(header) = self.header(bytes) else { return FramingStep::Within };
                let (Some(length), Some(op_code)) = (header.body_len(), header.op_code()) else {
                    return FramingStep::Lost;
                };
                let Ok(length) = u32::try_from(length) else { return FramingStep::Lost };
                self.remaining = length;
                (FramedMessage { request: request(&header), op_code }, true)
            }
        };
        let remaining = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        let (body, rest) = bytes.split_at(remaining.min(bytes.len()));
        *bytes = rest;
        // The conversion does not fail: the body is at most what remains.
        self.remaining -= u32::try_from(body.len()).unwrap_or(self.remaining);
        let ended = self.remaining == 0;
        self.current = (!ended).then_some(message);
        FramingStep::Stretch { message, begun, ended, body }
    }

    /// Takes a header from the front of `bytes`; `None` if it is incomplete.
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
