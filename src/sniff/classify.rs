//! Classifies an opening as TLS or plaintext, or asks for more bytes. The function is pure, and decides as soon as only
//! one result is possible.
//!
//! Other proxies test for the bytes `16`, `16 03` or `16 03 0x`. These tests are wrong for MongoDB: a message starts
//! with its little-endian length, so plaintext first messages of 278, 790, 66,326 and 197,398 bytes look like TLS to
//! them. An opening with the first bytes of a TLS handshake is plaintext only if `responseTo` at offset 8 is 0 or -1,
//! as in mongod, and the opcode after it is a known one. One byte of `responseTo` does not suffice: in a ClientHello,
//! offset 8 holds the low byte of the length, which can have any value.

use crate::mongo::OpCode;
use crate::policy::Opening;

/// The classification of the bytes received so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Decided: further bytes cannot change the opening.
    Is(Opening),
    /// Undecided: more bytes are needed.
    NeedMore,
}

/// Classifies the first bytes of a connection. 16 bytes always suffice for a decision.
pub fn classify(bytes: &[u8]) -> Class {
    match bytes.first() {
        None => Class::NeedMore,
        Some(&HANDSHAKE) => handshake_or_message(bytes),
        Some(&first) if first & SSLV2_LENGTH_BIT != 0 => sslv2_or_message(bytes),
        Some(_) => Class::Is(Opening::Plaintext),
    }
}

/// `8x LL 01 03`: an SSLv2-framed ClientHello that offers SSL 3.0 or TLS (RFC 5246, appendix E.2); its length field has
/// 15 bits, any of which may be set. Read as a MongoDB message length, these bytes exceed 48,000,000 bytes, so they are
/// not a MongoDB message.
fn sslv2_or_message(bytes: &[u8]) -> Class {
    let header = &bytes[..bytes.len().min(4)];
    match header {
        [_, _, CLIENT_HELLO, MAJOR] => Class::Is(Opening::Sslv2),
        [_] | [_, _] | [_, _, CLIENT_HELLO] => Class::NeedMore,
        _ => Class::Is(Opening::Plaintext),
    }
}

/// `16 03 00..04`: a TLS record (RFC 8446, section 5.1), or a MongoDB message whose length starts with the same bytes.
fn handshake_or_message(bytes: &[u8]) -> Class {
    if bytes.get(1).is_some_and(|&major| major != MAJOR) || bytes.get(2).is_some_and(|&minor| minor > HIGHEST_MINOR) {
        return Class::Is(Opening::Plaintext);
    }
    let response_to = between(bytes, 8, 12);
    let op_code = between(bytes, 12, 16);
    let may_be_message = [0_i32, -1].iter().any(|value| value.to_le_bytes().starts_with(response_to))
        && OpCode::ALL.iter().any(|code| code.number().to_le_bytes().starts_with(op_code));
    match (may_be_message, bytes.len()) {
        (false, _) => Class::Is(Opening::Tls),
        (true, 16..) => Class::Is(Opening::Plaintext),
        (true, _) => Class::NeedMore,
    }
}

/// Returns the bytes of a field that have been received.
fn between(bytes: &[u8], start: usize, end: usize) -> &[u8] {
    bytes.get(start.min(bytes.len())..end.min(bytes.len())).unwrap_or_default()
}

/// TLS record type `handshake`.
const HANDSHAKE: u8 = 0x16;
/// Major version of SSL 3.0 and every TLS.
const MAJOR: u8 = 0x03;
/// Minor version of TLS 1.3. Records carry 1 or 3; the TLS stack judges every value up to this one.
const HIGHEST_MINOR: u8 = 0x04;
/// Set in the first byte of a two-byte SSLv2 record header.
const SSLV2_LENGTH_BIT: u8 = 0x80;
/// Handshake type of a ClientHello, in SSLv2 framing too.
const CLIENT_HELLO: u8 = 0x01;

#[cfg(test)]
mod tests {
    use super::{Class, classify};
    use crate::mongo::OpCode;
    use crate::policy::Opening;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn message(length: u32, response_to: i32, op_code: i32) -> Vec<u8> {
        let words = [length.cast_signed(), 1, response_to, op_code];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn rows() {
        let more = Class::NeedMore;
        let plaintext = Class::Is(Opening::Plaintext);
        let tls = Class::Is(Opening::Tls);
        let sslv2 = Class::Is(Opening::Sslv2);
        let rows: [(&[u8], Class); 22] = [
            (b"", more),
            (b"G", plaintext),
            (b"\x15\x03\x01", plaintext),
            (b"\x3a\x00", plaintext),
            (b"\x16", more),
            (b"\x16\x01", plaintext),
            (b"\x16\x03", more),
            (b"\x16\x03\x05", plaintext),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01", more),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", tls),
            (b"\x16\x03\x01\x02\x00\x01\x00\x02\x00", more),
            (b"\x16\x03\x01\x02\x00\x01\x00\x02\x00\x03", tls),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xff\x03", tls),
            (b"\x16\x03\x01\x00\x01\x00\x00\x00\xff\xff\xff\xff\xdd\x07\x00", more),
            (b"\x16\x03\x01\x00\x01\x00\x00\x00\xff\xff\xff\xff\xdd\x07\x00\x00", plaintext),
            (b"\x16\x03\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x08", tls),
            (b"\x80", more),
            (b"\x80\x2e\x01", more),
            (b"\x80\x2e\x01\x03", sslv2),
            (b"\x80\x2e\x01\x00", plaintext),
            (b"\xff\x2e\x02", plaintext),
            (b"\xd4\x07\x00\x00", plaintext),
        ];
        for (bytes, expected) in rows {
            assert_eq!(classify(bytes), expected, "{bytes:02x?}");
        }
    }

    /// Tests every length of a first message up to 1 MiB, both values of `responseTo`, and every opcode.
    #[test]
    fn every_message_length_is_plaintext() {
        for length in 16..=1024 * 1024 {
            for response_to in [0, -1] {
                for op_code in OpCode::ALL.map(OpCode::number) {
                    let bytes = message(length, response_to, op_code);
                    assert_eq!(classify(&bytes), Class::Is(Opening::Plaintext), "length {length}, opcode {op_code}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_decision_is_final(bytes: Vec<u8>, tail: Vec<u8>) {
            let decided = classify(&bytes);
            let longer = classify(&[bytes.clone(), tail].concat());
            prop_assert!(decided == Class::NeedMore || decided == longer);
        }

        #[test]
        fn sixteen_bytes_suffice(bytes in proptest::collection::vec(any::<u8>(), 16..64)) {
            prop_assert!(classify(&bytes) != Class::NeedMore);
        }

        #[test]
        fn every_prefix_of_a_message_is_open_or_plaintext(length in 16_u32..48_000_000, id: i32, minus_one: bool) {
            let mut bytes = message(length, if minus_one { -1 } else { 0 }, 2013);
            bytes[4..8].copy_from_slice(&id.to_le_bytes());
            for end in 0..=bytes.len() {
                let class = classify(&bytes[..end]);
                prop_assert!(matches!(class, Class::NeedMore | Class::Is(Opening::Plaintext)));
            }
            prop_assert_eq!(classify(&bytes), Class::Is(Opening::Plaintext));
        }
    }
}
