//! Bounds of the admin port.

use std::time::Duration;

use super::control::CLIENT_ANSWER_BYTES;

/// Connections to the admin port by TCP: rollouts, shells and their pools, dashboards; a driver alone may open a
/// dozen. Beyond, the one of least use makes room.
pub const ADMIN_CONNECTIONS: usize = 128;
/// The same by its Unix sockets, counted apart: a flood by TCP leaves the way in that needs no network.
pub const ADMIN_UNIX_CONNECTIONS: usize = 32;
/// Connections to the port for probes: a kubelet and a few scrapers.
pub const PROBE_CONNECTIONS: usize = 64;
/// Descriptors kept back for all of these, their listeners, and those that have made room and are not closed yet. Where
/// a quarter of the descriptors is less than this, it is that, and the numbers above shrink with it.
pub const DOOR_DESCRIPTORS: u64 = 256;
/// From accept until the admin port knows what a visitor speaks, and a TLS handshake before that: each takes a few
/// round trips, of which none takes a second.
pub const ADMIN_OPENING: Duration = Duration::from_secs(10);
/// From the first byte of a command or of an HTTP request's body to its last.
pub const ADMIN_REQUEST: Duration = Duration::from_secs(10);
/// How long an HTTP connection may be without a whole request head, idle ones included: scrapers come every 15 to 60
/// seconds, and connect anew where they have to.
pub const ADMIN_HEAD: Duration = Duration::from_secs(30);
/// How long a connection of a MongoDB client may be idle: a permission must not outlive a forgotten session for long.
/// Drivers' monitors send every 10 s, and `mongosh` and drivers make a pooled connection anew that has ended while idle.
pub const ADMIN_IDLE: Duration = Duration::from_secs(600);
/// How long a visitor may take to take an answer.
pub const ADMIN_ANSWER: Duration = Duration::from_secs(30);
/// How long a stop waits for answers that are under way.
pub const ADMIN_FAREWELL: Duration = Duration::from_secs(1);
/// Largest command that the admin port takes, in bytes: the largest that makes sense has 2 KiB.
pub const ADMIN_MESSAGE_BYTES: usize = 64 * 1024;
/// Largest head of an HTTP request, in bytes: browsers send 1 to 4 KiB.
pub const ADMIN_HEAD_BYTES: usize = 16 * 1024;
/// Most headers of an HTTP request: browsers send 20.
pub const ADMIN_HEADERS: usize = 64;
/// Largest body of an HTTP request, in bytes: the largest that makes sense has 1 KiB.
pub const ADMIN_BODY_BYTES: usize = 16 * 1024;
/// Largest body with the names of members, in bytes: all that may be named at some 250 bytes each, the longest that DNS has.
pub const ADMIN_MEMBERS_BYTES: usize = 64 * 1024;
/// Answers that are made at a time of those that list connections and clients, and as many of those that count them: each
/// takes a processor from the workers.
pub const READERS_AT_A_TIME: usize = 1;
/// Requests for such answers that wait for their turn: two thousand connections take 10 ms or so each.
pub const READERS_WAITING: usize = 16;
/// Bytes of listings that are made and not sent yet: two of the largest.
pub const READERS_BYTES: usize = 2 * CLIENT_ANSWER_BYTES;
/// Largest listing, in bytes, less than the command-line client reads; connections beyond are left out, and their number
/// is said.
pub const LISTING_BYTES: usize = CLIENT_ANSWER_BYTES - 1024 * 1024;
/// Levels of a value that an error shows: mongod's own number.
pub const ADMIN_VALUE_LEVELS: usize = 100;
/// Longest name of a lease's holder, in characters.
pub const LEASE_HOLDER_CHARS: usize = 128;
/// Longest lease, in seconds: an hour is more than a step of a rollout takes.
pub const LEASE_SECONDS: u64 = 3600;
