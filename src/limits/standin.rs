//! Limits of the stand-in server.

use std::time::Duration;

/// Largest query of the stand-in server, in bytes. Each open cursor keeps its query.
pub const STANDIN_FILTER_BYTES: usize = 16 * 1024;
/// Maximum number of connections of the stand-in server. Further connections wait in the kernel's accept queue.
pub const STANDIN_CONNECTIONS: usize = 10_000;
/// Pause after a failed accept. Accept fails for lack of descriptors or memory, which lasts for a while.
pub const STANDIN_ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// Maximum number of cursors of the stand-in server. With queries of up to 16 KiB, they take 16 MiB in all.
pub const STANDIN_CURSORS: usize = 1_000;
/// Documents of a first batch if the client sets no batch size: mongod's default.
pub const STANDIN_FIRST_BATCH: usize = 101;
/// Size in bytes at which a batch ends. The document that reaches this size is still part of the batch; even if that
/// document is as large as allowed, the reply stays below 48 MB.
pub const STANDIN_BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Maximum number of documents that the stand-in server stores: ten times what the largest test reads back.
pub const STANDIN_DOCUMENTS: usize = 1_000_000;
/// Maximum number of bytes that the stand-in server stores, with identifiers counted twice. A demo must not use up a
/// laptop's memory.
pub const STANDIN_BYTES: usize = 512 * 1024 * 1024;
/// Largest document, in bytes: mongod's `maxBsonObjectSize`.
pub const STANDIN_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;
