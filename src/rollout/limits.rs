//! Bounds of a rollout: how many, how long, how often.

use std::time::Duration;

/// A set has at most 50 members; a sharded cluster has some sets and its mongos.
pub(super) const NODES: usize = 256;
/// Lifetime of a lease: three renewals, so that one may be lost. A rollout that was killed blocks the next one for this
/// long.
pub(super) const LEASE: Duration = Duration::from_secs(60);
pub(super) const LEASE_RENEWAL: Duration = Duration::from_secs(20);
/// Default of `--wait`.
pub(super) const WAIT: Duration = Duration::from_secs(600);
/// Interval at which a condition is polled: soon enough for a person, and few enough for the log of a node.
pub(super) const POLL: Duration = Duration::from_secs(1);
/// Interval between two requests to move the remaining old connections.
pub(super) const RECYCLE: Duration = Duration::from_secs(3);
/// The time for which a node may be unhealthy: an election takes 12 s, and the probe that sees its end 10 s.
pub(super) const UNHEALTHY: Duration = Duration::from_secs(30);
/// The time for which an admin port may be unreachable: twice the time of a restart of tlsramp.
pub(super) const UNREACHED: Duration = Duration::from_secs(5);
/// Failed requests in a row to a node that is up.
pub(super) const FAILED_REQUESTS: u32 = 3;
/// Connecting to a node from outside, and its answer, each.
pub(super) const EXTERNAL_CHECK: Duration = Duration::from_secs(5);
/// Largest answer to an external check, in bytes: a refusal has some hundred.
pub(super) const EXTERNAL_CHECK_BYTES: usize = 64 * 1024;
/// The time to wait for the inventory row that the external check's own plaintext connection makes.
pub(super) const OWN_ROW: Duration = Duration::from_secs(2);
pub(super) const RESOLVE: Duration = Duration::from_secs(3);
/// A peer counts as present for this long after its last connection: longer than a member pauses between heartbeats.
pub(super) const PEER_SEEN: Duration = Duration::from_secs(60);
/// Clients or connections that one line names.
pub(super) const NAMED_IN_LINE: usize = 4;
/// Remaining connections that are listed for a node when the wait is over: a screenful.
pub(super) const CONNECTIONS_LISTED: usize = 20;
/// The end of the log that is read back, in bytes: some hundred thousand lines.
pub(super) const LOG_BYTES: u64 = 16 * 1024 * 1024;
