//! Decompresses the beginning of an OP_COMPRESSED message, for example to determine the kind of a request.
//!
//! Of zstd, only the first block is decompressed. Each worker thread keeps its zlib and zstd decoders, since creating a
//! decoder costs more than decompressing a few bytes.

use std::cell::RefCell;
use std::io::Read;

use flate2::{Decompress, FlushDecompress};
use ruzstd::decoding::FrameDecoder;

use super::field_reader::FieldReader;

/// The number of bytes of the original opcode, the uncompressed size and the compressor ID together.
pub(super) const PRELUDE_BYTES: usize = 9;

/// The first uncompressed bytes of an OP_COMPRESSED's body, at most `most`. Fewer if `body` is incomplete; `None` if
/// the body cannot be decompressed, even with more bytes.
pub(super) fn head(body: &[u8], most: usize) -> Option<Vec<u8>> {
    let Some((prelude, payload)) = body.split_first_chunk::<PRELUDE_BYTES>() else { return Some(Vec::new()) };
    let [_, _, _, _, size @ .., compressor] = *prelude;
    let most = most.min(usize::try_from(u32::from_le_bytes(size)).unwrap_or(most));
    match compressor {
        0 => Some(payload[..payload.len().min(most)].to_vec()),
        1 => snappy(payload, most),
        2 => zlib(payload, most),
        3 => zstd(payload, most),
        _ => None,
    }
}

/// Snappy's block format: the uncompressed length, then literals and copies of earlier bytes.
fn snappy(payload: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(most);
    let mut input = FieldReader(payload);
    // The uncompressed length: a varint of at most 32 bits.
    for index in 0.. {
        match input.u8() {
            Err(_) => return Some(plain),
            Ok(byte) if byte < 0x80 => break,
            Ok(_) if index == 4 => return None,
            Ok(_) => {}
        }
    }
    while plain.len() < most {
        let Some(element) = snappy_element(&mut input) else { break };
        match element {
            Element::Literal(length) => {
                // The literal may be incomplete.
                let bytes = input.0.get(..length.min(most - plain.len())).unwrap_or(input.0);
                plain.extend_from_slice(bytes);
                if input.take(length).is_err() {
                    break;
                }
            }
            Element::Copy { length, offset } => {
                let from = plain.len().checked_sub(offset).filter(|_| offset > 0)?;
                for at in from..from + length.min(most - plain.len()) {
                    plain.push(plain[at]);
                }
            }
        }
    }
    Some(plain)
}

enum Element {
    Literal(usize),
    Copy { length: usize, offset: usize },
}

/// An element's tag, with its length and offset; `None` if it is incomplete.
fn snappy_element(input: &mut FieldReader<'_>) -> Option<Element> {
    let tag = input.u8().ok()?;
    let (kind, upper) = (tag & 3, usize::from(tag >> 2));
    let mut number = |bytes: usize| {
        let bytes = input.take(bytes).ok()?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    Some(match kind {
        // 60 to 63: the length follows in one to four bytes.
        0 if upper >= 60 => Element::Literal(number(upper - 59)?.saturating_add(1)),
        0 => Element::Literal(upper + 1),
        1 => Element::Copy { length: (upper & 7) + 4, offset: (upper >> 3) << 8 | number(1)? },
        2 => Element::Copy { length: upper + 1, offset: number(2)? },
        _ => Element::Copy { length: upper + 1, offset: number(4)? },
    })
}

fn zlib(payload: &[u8], most: usize) -> Option<Vec<u8>> {
    INFLATE.with_borrow_mut(|decoder| {
        decoder.reset(true);
        let mut plain = Vec::with_capacity(most);
        // The input is passed in pieces, because the decoder always processes all of it.
        for piece in payload.chunks(most.saturating_mul(4).max(64)) {
            let mut rest = piece;
            while !rest.is_empty() && plain.len() < most {
                let before = (decoder.total_in(), plain.len());
                // This fills the capacity, which may be more than requested, so the result is truncated below.
                decoder.decompress_vec(rest, &mut plain, FlushDecompress::None).ok()?;
                let consumed = usize::try_from(decoder.total_in() - before.0).ok()?;
                rest = rest.get(consumed..)?;
                if consumed == 0 && plain.len() == before.1 {
                    return Some(plain);
                }
            }
            if plain.len() >= most {
                break;
            }
        }
        plain.truncate(most);
        Some(plain)
    })
}

/// Decompresses the first block of the frame, as the only block of a new frame. With the original frame header, the
/// decoder would hold back the output until a whole window of up to 8 MiB has followed, and would allocate as much.
fn zstd(payload: &[u8], most: usize) -> Option<Vec<u8>> {
    let Some((block, content)) = zstd_block(payload)? else { return Some(Vec::new()) };
    match block.kind {
        // The block is stored uncompressed; its content may be incomplete.
        0 => Some(content[..content.len().min(block.size).min(most)].to_vec()),
        1 => Some(content.first().map_or_else(Vec::new, |byte| vec![*byte; block.size.min(most)])),
        2 if block.size > ZSTD_BLOCK_BYTES => None,
        2 => {
            let Some(content) = content.get(..block.size) else { return Some(Vec::new()) };
            ZSTD.with_borrow_mut(|decoder| {
                let header = (u32::try_from(block.size).ok()? << 3 | 2 << 1 | 1).to_le_bytes();
                let mut source = ZSTD_FRAME.chain(&header[..3]).chain(content);
                decoder.reset(&mut source).ok()?;
                decoder.decode_blocks(&mut source, ruzstd::decoding::BlockDecodingStrategy::All).ok()?;
                let mut plain = vec![0; most];
                let mut have = 0;
                while let Ok(count @ 1..) = decoder.read(&mut plain[have..]) {
                    have += count;
                }
                plain.truncate(have);
                Some(plain)
            })
        }
        _ => None,
    }
}

struct ZstdBlock {
    kind: u8,
    size: usize,
}

/// The header of the first block, and the part of its content that was received. `Some(None)` if the header is
/// incomplete.
#[expect(clippy::option_option, reason = "malformed, incomplete, complete")]
fn zstd_block(payload: &[u8]) -> Option<Option<(ZstdBlock, &[u8])>> {
    let Some((frame, rest)) = payload.split_first_chunk::<5>() else { return Some(None) };
    if frame[..4] != ZSTD_FRAME[..4] {
        return None;
    }
    let descriptor = frame[4];
    let single = descriptor >> 5 & 1;
    // MongoDB uses no dictionaries.
    if descriptor & 3 != 0 {
        return None;
    }
    let size_bytes = [usize::from(single), 2, 4, 8][usize::from(descriptor >> 6)];
    let Some(rest) = rest.get(usize::from(1 - single) + size_bytes..) else { return Some(None) };
    let Some((header, content)) = rest.split_first_chunk::<3>() else { return Some(None) };
    let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    // The two upper bits of three; the lowest marks the last block.
    let kind = (header >> 1 & 3).to_le_bytes()[0];
    Some(Some((ZstdBlock { kind, size: usize::try_from(header >> 3).ok()? }, content)))
}

/// Longest block of a zstd frame.
const ZSTD_BLOCK_BYTES: usize = 128 * 1024;
/// The header of a frame: magic number, no sizes, no checksum, a window of 128 KiB.
const ZSTD_FRAME: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];

thread_local! {
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(true));
    static ZSTD: RefCell<FrameDecoder> = RefCell::new(FrameDecoder::new());
}
