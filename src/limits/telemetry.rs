//! Limits of logs, the inventory of clients, and metrics.

use std::time::Duration;

use super::config::{MOST_MEMBERS, MOST_OUTBOUND};

/// Maximum number of log lines for refused or failed connections, per second and outcome. Further ones are summarized
/// in one line.
pub const LOG_LINES_PER_SECOND: u32 = 10;
/// Maximum number of log lines that wait for a slow log. Further lines are dropped and counted: a log must never stop
/// the proxy.
pub const LOG_QUEUE_LINES: usize = 16_384;
/// Size of a usual log line, or of the record of a connection whose line is not formatted yet. A record that keeps a
/// client's certificates counts as several lines.
pub const LOG_LINE_BYTES: usize = 1024;
/// How long the first line of a batch waits for further lines. The delay is not noticeable, and a busy log wakes its
/// writer a hundred times a second instead of once per line.
pub const LOG_NAP: Duration = Duration::from_millis(10);
/// How long the end of the process waits for a slow reader of the log.
pub const LOG_FAREWELL: Duration = Duration::from_secs(1);

/// Longest text from a client that is kept, in bytes: mongod's limit for `application.name`.
pub const CLIENT_TEXT_BYTES: usize = 128;
/// Maximum number of names that the inventory keeps for one address, separately for each kind of connection and for
/// members and clients. A host runs a few applications; an address that many hosts share may have several dozen.
/// Further names share a row.
pub const INVENTORY_NAMES: usize = 64;
/// Size of the bitmap that counts the names in a shared row, in words of 64 bits. It distinguishes up to about 7,000
/// names in 128 bytes.
pub const INVENTORY_NAME_WORDS: usize = 16;
/// Maximum number of rows of the inventory (applications by address and kind). A large fleet has several hundred; 4,096
/// rows take 3 MB.
pub const INVENTORY_ROWS: usize = 4096;
/// Rows that are evicted at once when the inventory is full, so that one search serves that many new rows.
pub const INVENTORY_EVICTED: usize = INVENTORY_ROWS / 16;
/// Pause between two searches for rows to evict, if all rows have open connections.
pub const INVENTORY_FULL: Duration = Duration::from_secs(1);
/// Maximum number of clients accepted by name. An operator decides on each of them.
pub const INVENTORY_ACCEPTED: usize = 1024;

/// Maximum number of routes with their own series in the metrics; the rest share `route="other"`. This is twice the
/// number that a configuration may have, because a reload that renames all routes leaves the counts of the old ones.
/// The series of one route take 2.4 KB.
pub const METRICS_ROUTES: usize = 2 * MOST_OUTBOUND;

/// Maximum number of destinations of outbound routes that are remembered: as many as there may be members. Beyond that,
/// the least recently dialled one is removed.
pub const LINKS: usize = MOST_MEMBERS;
/// How long a destination counts as failing after its last failed dial. mongod dials an unreachable member every few
/// seconds, and a member of another set of its cluster within a minute.
pub const LINK_FAILING: Duration = Duration::from_secs(300);
/// Maximum number of failing links with a warning each.
pub const LINKS_WARNED: usize = 20;
