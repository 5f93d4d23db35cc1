//! The 16-byte header of every MongoDB message: four little-endian 32-bit integers.
//!
//! Parsing never fails, since any 16 bytes are four integers. Separate methods check whether the values are valid:
//! [`Header::body_len`], [`Header::op_code`], [`Header::opens`].

use crate::limits::MAX_MESSAGE_BYTES;

/// Length of a header in bytes, which is also the length of the shortest message.
pub const HEADER_BYTES: usize = 16;

/// A message header, as it was on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Length of the whole message in bytes, header included. Not validated: see [`Header::body_len`].
    pub message_length: i32,
    /// The sender's ID of this message.
    pub request_id: i32,
    /// The ID of the request that this message answers; 0 (from some peers -1) in a request.
    pub response_to: i32,
    /// The number of the operation: see [`Header::op_code`].
    pub op_code: i32,
}

impl Header {
    /// Parses a header.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
        Self {
            message_length: i32::from_le_bytes([a, b, c, d]),
            request_id: i32::from_le_bytes([e, f, g, h]),
            response_to: i32::from_le_bytes([i, j, k, l]),
            op_code: i32::from_le_bytes([m, n, o, p]),
        }
    }

    /// The header of `message`; `None` if it is shorter than a header.
    pub fn of(message: &[u8]) -> Option<Self> {
        message.first_chunk().map(Self::parse)
    }

    /// Encodes the header.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let fields = [self.message_length, self.request_id, self.response_to, self.op_code];
        for (place, field) in bytes.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// The length of the body; `None` if the message length is below 16 or above [`MAX_MESSAGE_BYTES`].
    pub fn body_len(&self) -> Option<usize> {
        body_len(self.message_length)
    }

    /// The operation; `None` if the number is unknown.
    pub fn op_code(&self) -> Option<OpCode> {
        OpCode::from_i32(self.op_code)
    }

    /// Whether this message can be the first of a connection: valid length, no reply, known operation.
    pub fn opens(&self) -> bool {
        self.body_len().is_some() && matches!(self.response_to, 0 | -1) && self.op_code().is_some()
    }
}

/// As [`Header::body_len`], if only the length was received.
pub(super) fn body_len(message_length: i32) -> Option<usize> {
    let length = usize::try_from(message_length).ok()?;
    (HEADER_BYTES..=MAX_MESSAGE_BYTES).contains(&length).then(|| length - HEADER_BYTES)
}

/// Operations of the wire protocol, legacy ones included, since old drivers still send them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpCode {
    /// Reply to `Query` and `GetMore`.
    Reply = 1,
    /// Legacy write that expects no reply.
    Update = 2001,
    /// Legacy write that expects no reply.
    Insert = 2002,
    /// Legacy query; on `db.$cmd`, a command.
    Query = 2004,
    /// Legacy request for the next batch of a cursor.
    GetMore = 2005,
    /// Legacy write that expects no reply.
    Delete = 2006,
    /// Legacy request to close cursors, which expects no reply.
    KillCursors = 2007,
    /// Commands between servers of versions 3.2 to 4.0.
    Command = 2010,
    /// Reply to `Command`.
    CommandReply = 2011,
    /// Any other message, compressed. Permitted only after a `hello` negotiated compression, so never first.
    Compressed = 2012,
    /// All requests and replies since 3.6.
    Msg = 2013,
}

impl OpCode {
    /// Every operation, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Reply,
        Self::Update,
        Self::Insert,
        Self::Query,
        Self::GetMore,
        Self::Delete,
        Self::KillCursors,
        Self::Command,
        Self::CommandReply,
        Self::Compressed,
        Self::Msg,
    ];

    /// The operation of this number.
    pub fn from_i32(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.number() == number)
    }

    /// Whether clients send this operation to a server, uncompressed.
    pub fn is_request(self) -> bool {
        match self {
            Self::Update | Self::Insert | Self::Query | Self::GetMore | Self::Delete | Self::KillCursors => true,
            Self::Command | Self::Msg => true,
            Self::Reply | Self::CommandReply | Self::Compressed => false,
        }
    }

    /// The number of the operation.
    pub const fn number(self) -> i32 {
        self as i32
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn headers_survive_the_wire() {
        let header = Header { message_length: 0x0102_0304, request_id: -2, response_to: i32::MIN, op_code: 2013 };
        let bytes = header.encode();
        assert_eq!(bytes[..4], [4, 3, 2, 1], "little endian");
        assert_eq!(Header::parse(&bytes), header);
        assert_eq!(Header::of(&bytes[..15]), None);
    }

    #[test]
    fn what_may_open_a_connection() {
        for (message_length, response_to, op_code, opens) in [
            (16, 0, 2013, true),
            (48_000_000, -1, 2004, true),
            (15, 0, 2013, false),
            (-1, 0, 2013, false),
            (48_000_001, 0, 2013, false),
            (i32::MIN, 0, 2013, false),
            (16, 7, 2013, false),
            (16, 0, 2003, false),
            (16, 0, 0, false),
        ] {
            let header = Header { message_length, request_id: 1, response_to, op_code };
            assert_eq!(header.opens(), opens, "{header:?}");
        }
        for op in OpCode::ALL {
            assert_eq!(OpCode::from_i32(op.number()), Some(op));
        }
    }
}
