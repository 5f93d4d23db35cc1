//! Bounds of a rollout.

use std::time::Duration;

/// Maximum number of nodes. A replica set has at most 50 members; a sharded cluster has several sets and its mongos.
pub(super) const NODES: usize = 256;
/// Lifetime of a lease: three renewal intervals, so that one renewal may fail. After a rollout was killed, the next one
/// has to wait for this time.
pub(super) const LEASE: Duration = Duration::from_secs(60);
pub(super) const LEASE_RENEWAL: Duration = Duration::from_secs(20);
/// Default of `--wait`.
pub(super) const WAIT: Duration = Duration::from_secs(600);
/// Interval at which a condition is polled: short enough for an operator who waits, and long enough not to fill the log
/// of a node.
pub(super) const POLL: Duration = Duration::from_secs(1);
/// Interval between two recycle requests for the remaining old connections.
pub(super) const RECYCLE: Duration = Duration::from_secs(3);
/// Time for which a node may be unhealthy: an election takes up to 12 s, and the next probe follows within 10 s.
pub(super) const UNHEALTHY: Duration = Duration::from_secs(30);
/// Time for which an admin port may be unreachable: twice the duration of a restart of tlsramp.
pub(super) const UNREACHED: Duration = Duration::from_secs(5);
/// Consecutive failed requests that are tolerated while all nodes can be reached.
pub(super) const FAILED_REQUESTS: u32 = 3;
/// Time limit of one attempt to connect to a node from outside, and of the node's answer.
pub(super) const EXTERNAL_CHECK: Duration = Duration::from_secs(5);
/// Largest answer to an external check, in bytes: a refusal has a few hundred.
pub(super) const EXTERNAL_CHECK_BYTES: usize = 64 * 1024;
/// Time to wait for the inventory row of the external check's own plaintext connection.
pub(super) const OWN_ROW: Duration = Duration::from_secs(2);
pub(super) const RESOLVE: Duration = Duration::from_secs(3);
/// Time after its last connection for which a peer counts as present: longer than the pause between two heartbeats.
pub(super) const PEER_SEEN: Duration = Duration::from_secs(60);
/// Maximum number of clients or connections that one line names.
pub(super) const NAMED_IN_LINE: usize = 4;
/// Maximum number of remaining connections that are listed for a node when the wait is over: one screen.
pub(super) const CONNECTIONS_LISTED: usize = 20;
/// Bytes at the end of the log that are read back: more than a hundred thousand lines.
pub(super) const LOG_BYTES: u64 = 16 * 1024 * 1024;
