//! The head of what a compressed message carries: as much as says whether it wants an answer.

use std::io::Read;

use crate::limits::FOLLOWED_SNAPPY_BYTES;

/// The first bytes, at most `most`, of what is in the body of an OP_COMPRESSED; `body` may be cut. None where that cannot
/// be told.
pub(super) fn head(body: &[u8], most: usize) -> Option<Vec<u8>> {
    // The operation inside and the uncompressed size, four bytes each; then the compressor.
    let (compressor, payload) = body.get(8..)?.split_first()?;
    let mut plain = Vec::new();
    match compressor {
        0 => plain.extend_from_slice(&payload[..payload.len().min(most)]),
        1 => plain = snappy(payload, most)?,
        2 => read(flate2::read::ZlibDecoder::new(payload), most, &mut plain),
        3 => read(ruzstd::decoding::StreamingDecoder::new(payload).ok()?, most, &mut plain),
        _ => return None,
    }
    Some(plain)
}

/// What can be read before the input ends, or makes no sense.
fn read(decoder: impl Read, most: usize, plain: &mut Vec<u8>) {
    // What was read before an error is there.
    let _ = decoder.take(most as u64).read_to_end(plain);
}

/// Snappy's block form is decoded whole or not at all.
fn snappy(payload: &[u8], most: usize) -> Option<Vec<u8>> {
    let length = snap::raw::decompress_len(payload).ok().filter(|length| *length <= FOLLOWED_SNAPPY_BYTES)?;
    let mut plain = vec![0; length];
    snap::raw::Decoder::new().decompress(payload, &mut plain).ok()?;
    plain.truncate(most);
    Some(plain)
}
