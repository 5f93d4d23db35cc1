//! Bounds of the load generator.

use std::time::Duration;

/// Maximum number of connections. One source address has only few more ports than this for connections to one target.
pub const MOST_CONNECTIONS: u32 = 60_000;
/// Number of TLS sessions that are kept for resumption.
pub(super) const SESSIONS: usize = 1024;
/// Largest request and largest answer of the echo protocol, in bytes.
pub(super) const MESSAGE_BYTES: u32 = 1024 * 1024 * 1024;
/// Default size of an answer in the bulk workload: large enough to measure throughput, small enough that a measurement
/// has many answers.
pub(super) const BULK_BYTES: u32 = 16 * 1024 * 1024;
/// Size of a read or write.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
/// Default of `--duration`.
pub(super) const DURATION: Duration = Duration::from_secs(10);
/// Default of `--warmUp`: time for connections, caches and processor clocks to settle.
pub(super) const WARM_UP: Duration = Duration::from_secs(2);
/// The time after which one operation counts as failed.
pub(super) const OPERATION: Duration = Duration::from_secs(30);
/// Longest latency that is recorded: longer than an operation may take.
pub(super) const LATENCY: Duration = Duration::from_secs(60);
/// Pause of a client after a failed operation.
pub(super) const AFTER_FAILURE: Duration = Duration::from_millis(10);
/// Number of different failures that are counted separately; further ones are counted together.
pub(super) const FAILURE_KINDS: usize = 64;
/// Number of descriptors that the load generator itself needs.
pub(super) const OWN_DESCRIPTORS: u64 = 64;
