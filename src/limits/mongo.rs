//! Limits of reading MongoDB messages and of tracking requests.

use std::time::Duration;

/// How long a connection at a boundary must have been quiet before it is recycled. Before a driver uses a pooled
/// connection that has been idle for a second by its own measure (pymongo), it checks whether the connection was
/// closed; the additional 200 ms cover the round trip.
pub const RECYCLE_QUIET: Duration = Duration::from_millis(1200);
/// The same time for the connection of a driver's monitor, which is recycled first. A driver that loses its monitor
/// closes each connection of its pool by itself when the current operation has ended, and no operation fails (SDAM
/// specification). The monitor's connection carries a stream of replies, which the server sends when the set changes.
/// After 20 ms without traffic, probably no reply is on its way.
pub const RECYCLE_QUIET_MONITOR: Duration = Duration::from_millis(20);
/// How much earlier than all others the connections of monitors are recycled, so that drivers that do not check whether
/// a pooled connection was closed have cleared their pool by then.
pub const RECYCLE_MONITORS_FIRST: Duration = Duration::from_millis(200);
/// How long a recycle request waits for a quiet connection; after that, any boundary is used. A connection with an
/// operation that waits without end, such as the next batch of a tailable cursor, is never quiet.
pub const RECYCLE_ANY_BOUNDARY: Duration = Duration::from_secs(5);
/// How long a connection with an open transaction must have been quiet before it is recycled. mongod ends a transaction
/// after the same time (`transactionLifetimeLimitSeconds`). For the same time after the recycle request, a connection
/// that reads a cursor to its end, or that sends requests that expect no reply, is recycled only when it is quiet for
/// [`RECYCLE_QUIET`].
pub const RECYCLE_TRANSACTION: Duration = Duration::from_secs(60);
/// How long requests that expect no reply are forwarded after our end of stream was sent to the client.
pub const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// Longest such request. A document has 16 MiB at most, which only a fast network transfers within [`LAST_REQUESTS`].
pub const LAST_REQUEST_BYTES: usize = 16 * 1024 * 1024 + 16 * 1024;
/// How long to wait until the client has acknowledged the bytes sent to it, before a reset that could overtake them.
pub const ACKNOWLEDGED: Duration = Duration::from_secs(2);
/// Interval between two checks for that acknowledgement.
pub const ACKNOWLEDGED_LOOK: Duration = Duration::from_millis(5);

/// Longest first message that is parsed for the client's name. A `hello` with the longest metadata and the first step
/// of authentication takes less than 4 KiB.
pub const FIRST_MESSAGE_BYTES: usize = 16 * 1024;

/// How much is kept of a request until its kind is known, and of each compressed message while bodies are inspected.
/// zstd produces no output before the end of its first block, which has at most 128 KiB.
pub const FOLLOWED_HEAD_BYTES: usize = 132 * 1024;
/// How much of a message is decompressed and parsed while bodies are inspected: the document of a command, or a small
/// reply.
pub const FOLLOWED_PLAIN_BYTES: usize = 16 * 1024;
/// How much of the end of a larger message is parsed. The fields that mongod writes after a batch (the cursor's ID and
/// namespace, times, a signature) take less than 600 bytes.
pub const FOLLOWED_TAIL_BYTES: usize = 1024;

/// Maximum number of documents read from one message: mongod's `maxWriteBatchSize`, which it announces in every
/// `hello`. Without this limit, 48 MB of empty documents would take twenty times as much memory.
pub const MAX_DOCUMENTS: usize = 100_000;
/// Longest message, header included: mongod's `maxMessageSizeBytes`, which it announces in every `hello`.
pub const MAX_MESSAGE_BYTES: usize = 48_000_000;
/// Longest collection name read from an OP_QUERY, in bytes without its zero byte: mongod's limit for a namespace.
pub const MAX_NAMESPACE_BYTES: usize = 255;
