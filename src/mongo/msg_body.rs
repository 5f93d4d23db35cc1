//! The body of an OP_MSG: flags, one document, and document sequences.
//!
//! Unknown required flags and sections are refused, as the protocol requires. The CRC-32C that may end a message is
//! removed but not verified: mongod does not verify it over TLS either, and a wrong checksum does no harm here.

use bson::raw::RawDocument;

use super::field_reader::{FieldReader, Malformed};
use crate::limits::MAX_DOCUMENTS;

/// Flag bit: the last four bytes are a checksum.
pub(super) const CHECKSUM_PRESENT: u32 = 1;
/// Flag bit: another message follows without a request; in a request, no reply is expected.
pub(super) const MORE_TO_COME: u32 = 1 << 1;
/// Flag bits that a reader must understand, or else refuse the message. Unknown bits of the upper half may be ignored.
const REQUIRED: u32 = 0xffff;

/// The parts of an OP_MSG.
#[derive(Debug)]
pub(super) struct MsgBody<'a> {
    pub(super) flags: u32,
    pub(super) document: &'a RawDocument,
    /// The documents of the sequence `documents`, which an `insert` has. Other sequences are validated and skipped.
    pub(super) documents: Vec<&'a RawDocument>,
}

impl<'a> MsgBody<'a> {
    /// Parses the bytes after the header.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = FieldReader(bytes);
        let flags = reader.u32()?;
        let unknown = flags & REQUIRED & !(CHECKSUM_PRESENT | MORE_TO_COME);
        if unknown != 0 {
            return Err(Malformed::Flags(unknown));
        }
        if flags & CHECKSUM_PRESENT != 0 {
            let sections = reader.0.len().checked_sub(4).ok_or(Malformed::Length)?;
            reader = FieldReader(&reader.0[..sections]);
        }
        let mut document = None;
        let mut documents = Vec::new();
        while !reader.is_empty() {
            match reader.u8()? {
                0 if document.is_none() => document = Some(reader.document()?),
                1 => sequence(&mut reader, &mut documents)?,
                _ => return Err(Malformed::Section),
            }
        }
        Ok(Self { flags, document: document.ok_or(Malformed::Section)?, documents })
    }
}

/// Parses a section of kind 1: its size (which includes itself), its name, and documents up to its end.
fn sequence<'a>(reader: &mut FieldReader<'a>, documents: &mut Vec<&'a RawDocument>) -> Result<(), Malformed> {
    let size = usize::try_from(reader.i32()?).map_err(|_| Malformed::Section)?;
    let mut section = FieldReader(reader.take(size.checked_sub(4).ok_or(Malformed::Section)?)?);
    let wanted = section.cstring()? == "documents";
    while !section.is_empty() {
        let document = section.document().map_err(|_| Malformed::Section)?;
        if wanted {
            if documents.len() == MAX_DOCUMENTS {
                return Err(Malformed::TooManyDocuments);
            }
            documents.push(document);
        }
    }
    Ok(())
}
