//! Bounds of logs, the inventory of clients, and metrics.

use std::time::Duration;

use super::config::{MOST_MEMBERS, MOST_OUTBOUND};

/// Log lines for refused or failed connections, per second and outcome; beyond, a summary.
pub const LOG_LINES_PER_SECOND: u32 = 10;
/// Log lines that wait for a slow log; beyond, they are dropped and counted: a log must never stop a proxy.
pub const LOG_QUEUE_LINES: usize = 16_384;
/// How long the first line of a batch waits for others: a person does not notice it, and a busy log wakes its writer a
/// hundred times a second instead of for each line.
pub const LOG_NAP: Duration = Duration::from_millis(10);
/// How long the end of the process waits for a slow reader of the log.
pub const LOG_FAREWELL: Duration = Duration::from_secs(1);
/// Longest text of a peer's or an operator's that a line shows, in characters.
pub const SHOWN_CHARS: usize = 200;

/// Longest text of a client's that is kept, in bytes: mongod's bound for `application.name`.
pub const CLIENT_TEXT_BYTES: usize = 128;
/// Names that the inventory keeps of one address, for each kind of connection, and for members and clients apart: a host
/// runs a few applications, an address that many hosts share some dozens. Further ones share a row.
pub const INVENTORY_NAMES: usize = 64;
/// Bits by which the names of such a row are counted, in words of 64: up to some 7,000 are told apart, in 128 bytes.
pub const INVENTORY_NAME_WORDS: usize = 16;
/// Rows of the inventory: applications by address and kind. A large fleet has some hundreds; four thousand take 3 MB.
pub const INVENTORY_ROWS: usize = 4096;
/// Rows that go at once when it is full: a search pays for so many.
pub const INVENTORY_EVICTED: usize = INVENTORY_ROWS / 16;
/// How long it is not searched again for room after a search in vain, when all rows have open connections.
pub const INVENTORY_FULL: Duration = Duration::from_secs(1);
/// Clients accepted by name: each is a decision of an operator's.
pub const INVENTORY_ACCEPTED: usize = 1024;

/// Routes that have series of their own in the metrics; the rest share `route="other"`. Twice what a configuration may
/// have, because a reload that renames all of them leaves the old ones' counts. A route's take 2.4 KB.
pub const METRICS_ROUTES: usize = 2 * MOST_OUTBOUND;

/// Destinations of outbound routes that are remembered: as many as there may be members. Beyond, the one that was dialled
/// longest ago is forgotten.
pub const LINKS: usize = MOST_MEMBERS;
/// How long after its last failed dial a destination counts as one that is still wanted and fails: mongod dials a member
/// that it cannot reach every few seconds, and one of another set of its cluster within a minute.
pub const LINK_FAILING: Duration = Duration::from_secs(300);
/// Failing links that are warned of one by one.
pub const LINKS_WARNED: usize = 20;
