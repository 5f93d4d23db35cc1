//! Bounds of the stand-in server.

use std::time::Duration;

/// Largest query of the stand-in server in bytes: open cursors keep theirs.
pub const STANDIN_FILTER_BYTES: usize = 16 * 1024;
/// The stand-in's connections: half the descriptors a Linux process usually gets at most by default.
pub const STANDIN_CONNECTIONS: usize = 10_000;
/// Pause after a failed accept, which is for want of descriptors or memory and does not pass at once.
pub const STANDIN_ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// The stand-in's cursors. With queries of up to 16 KiB, 16 MiB in all.
pub const STANDIN_CURSORS: usize = 1_000;
/// Documents of a first batch where the client does not say: mongod's default.
pub const STANDIN_FIRST_BATCH: usize = 101;
/// A batch ends with the document that brings it here, in bytes: with one of the largest, the reply stays under 48 MB.
pub const STANDIN_BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Documents that the stand-in stores: ten times what the largest test reads back.
pub const STANDIN_DOCUMENTS: usize = 1_000_000;
/// Bytes that the stand-in stores, identifiers counted twice: a demo must not take a laptop's memory.
pub const STANDIN_BYTES: usize = 512 * 1024 * 1024;
/// Largest document in bytes: mongod's `maxBsonObjectSize`.
pub const STANDIN_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;
