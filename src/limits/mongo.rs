//! Bounds of MongoDB messages that are read, and of the requests that are followed.

use std::time::Duration;

/// How long a connection at a boundary must have been quiet to be moved: drivers look whether a pooled connection has been
/// closed once it was idle for a second (pymongo), as they count it; a fifth more is for the way there and back.
pub const RECYCLE_QUIET: Duration = Duration::from_millis(1200);
/// The same for a driver's monitor, which goes first: a driver that loses it closes the connections of its pool by itself,
/// each when its operation is over, and no operation sees an error (SDAM specification). It is a stream of answers, which
/// come at once after a change of the set.
pub const RECYCLE_QUIET_MONITOR: Duration = Duration::from_millis(20);
/// From when on any boundary will do: what is awaited without end, as a tailable cursor's next batch, is never quiet.
pub const RECYCLE_ANY_BOUNDARY: Duration = Duration::from_secs(5);
/// How long an open transaction is waited for: mongod ends one after as long (`transactionLifetimeLimitSeconds`). Also how
/// long any boundary is not good enough, but only quiet is, for a connection that reads a cursor to its end or sends
/// requests that want no answer.
pub const RECYCLE_TRANSACTION: Duration = Duration::from_secs(60);
/// How long requests that want no answer are forwarded after our end was sent to their client.
pub const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// Longest such request: a document has 16 MiB at most, and so much fits into the second on a fast network only.
pub const LAST_REQUEST_BYTES: usize = 16 * 1024 * 1024 + 16 * 1024;
/// How long is waited for a client to acknowledge what it was sent, before a reset that would overtake it.
pub const ACKNOWLEDGED: Duration = Duration::from_secs(2);
/// Between two looks whether it has.
pub const ACKNOWLEDGED_LOOK: Duration = Duration::from_millis(5);

/// Longest first message that is looked at for who the client is: a `hello` with the longest metadata and a first step of
/// authentication has under 4 KiB.
pub const FIRST_MESSAGE_BYTES: usize = 16 * 1024;

/// How much of a compressed request is kept until its kind is known, and of a message of a connection that is watched for a
/// boundary: zstd says nothing before the end of its first block, of 128 KiB at most.
pub const FOLLOWED_HEAD_BYTES: usize = 132 * 1024;
/// How much of a message is looked at in plain while its connection is watched: a command's document, a small answer.
pub const FOLLOWED_PLAIN_BYTES: usize = 16 * 1024;
/// How much of the end of a larger one: what mongod writes behind a batch (the cursor's number and name, times, a signature)
/// has under 600 bytes.
pub const FOLLOWED_TAIL_BYTES: usize = 1024;

/// Documents read from one message at most: mongod's `maxWriteBatchSize`, which it announces in every `hello`. Without
/// it, 48 MB of empty documents would take twenty times that to hold.
pub const MAX_DOCUMENTS: usize = 100_000;
/// Longest message, header included: mongod's `maxMessageSizeBytes`, which it announces in every `hello`.
pub const MAX_MESSAGE_BYTES: usize = 48_000_000;
/// Longest collection name looked at in an OP_QUERY, in bytes without its zero: mongod's own limit for a namespace.
pub const MAX_NAMESPACE_BYTES: usize = 255;
