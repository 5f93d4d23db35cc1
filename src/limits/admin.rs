//! Limits of the admin port.

use std::time::Duration;

use super::control::CLIENT_ANSWER_BYTES;

/// Maximum number of TCP connections to the admin port: rollouts, shells and their pools, dashboards. A single driver
/// may open a dozen. Beyond the limit, the least useful connection is closed for the new one.
pub const ADMIN_CONNECTIONS: usize = 128;
/// Maximum number of connections to the admin port's Unix sockets, counted separately, so that a flood of TCP
/// connections leaves the local access usable.
pub const ADMIN_UNIX_CONNECTIONS: usize = 32;
/// Maximum number of connections to the probe port: a kubelet and a few scrapers.
pub const PROBE_CONNECTIONS: usize = 64;
/// Descriptors reserved for all of these connections, their listeners, and connections that were displaced and are not
/// closed yet. If a quarter of the descriptors is less than this, that quarter is reserved, and the connection limits
/// above shrink in proportion.
pub const DOOR_DESCRIPTORS: u64 = 256;
/// Timeout of each step of a new admin connection: until its first bytes show TLS or plaintext, the TLS handshake, and
/// until its bytes show MongoDB or HTTP. Each takes a few round trips of less than a second.
pub const ADMIN_OPENING: Duration = Duration::from_secs(10);
/// Timeout from the first to the last byte of a command or of an HTTP request's body.
pub const ADMIN_REQUEST: Duration = Duration::from_secs(10);
/// How long an HTTP connection may take until a request head is complete, idle time included. Scrapers send a request
/// every 15 to 60 seconds and reconnect if necessary.
pub const ADMIN_HEAD: Duration = Duration::from_secs(30);
/// How long a connection of a MongoDB client may be idle, so that a forgotten session does not keep its permission for
/// long. Drivers' monitors send a command every 10 s, and `mongosh` and drivers replace a pooled connection that was
/// closed while idle.
pub const ADMIN_IDLE: Duration = Duration::from_secs(600);
/// How long a client may take to receive an answer.
pub const ADMIN_ANSWER: Duration = Duration::from_secs(30);
/// How long shutdown waits for answers in progress.
pub const ADMIN_FAREWELL: Duration = Duration::from_secs(1);
/// Largest command that the admin port accepts, in bytes. The largest useful one has 2 KiB.
pub const ADMIN_MESSAGE_BYTES: usize = 64 * 1024;
/// Largest head of an HTTP request, in bytes. Browsers send 1 to 4 KiB.
pub const ADMIN_HEAD_BYTES: usize = 16 * 1024;
/// Maximum number of headers of an HTTP request. Browsers send 20.
pub const ADMIN_HEADERS: usize = 64;
/// Largest body of an HTTP request, in bytes. The largest useful one has 1 KiB.
pub const ADMIN_BODY_BYTES: usize = 16 * 1024;
/// Largest body with member names, in bytes: all members that may be named, with about 250 bytes each, the longest name
/// in DNS.
pub const ADMIN_MEMBERS_BYTES: usize = 64 * 1024;
/// Maximum number of concurrent answers that list connections and clients, and of concurrent answers that count them.
/// Each keeps a processor busy that the workers could use.
pub const READERS_AT_A_TIME: usize = 1;
/// Maximum number of requests that wait for such an answer. Each answer takes about 10 ms for 2,000 connections.
pub const READERS_WAITING: usize = 16;
/// Maximum number of bytes of listings that are generated and not sent yet: two of the largest.
pub const READERS_BYTES: usize = 2 * CLIENT_ANSWER_BYTES;
/// Largest listing, in bytes: less than the command-line client reads. Further connections are left out, and the
/// listing gives their number.
pub const LISTING_BYTES: usize = CLIENT_ANSWER_BYTES - 1024 * 1024;
/// Maximum number of nesting levels of a value that an error shows: mongod's limit.
pub const ADMIN_VALUE_LEVELS: usize = 100;
/// Longest name of a lease holder, in characters.
pub const LEASE_HOLDER_CHARS: usize = 128;
/// Longest lease, in seconds. A step of a rollout takes less than an hour.
pub const LEASE_SECONDS: u64 = 3600;
/// Maximum number of browser pages that receive events at a time: a few operators with a few tabs each. A page costs a
/// copy of each event.
pub const EVENT_VIEWERS: usize = 16;
/// How often the mode and the history are compared with those that were last sent to pages. A page must show a change
/// within a second, and the comparison reads two numbers.
pub const EVENT_TICK: Duration = Duration::from_millis(250);
/// Number of ticks ([`EVENT_TICK`]) from one status, with a sample of the chart, to the next: one second, unless the
/// mode or the history changes.
pub const EVENT_SAMPLE_TICKS: u32 = 4;
/// After how long the blockers of the next mode are determined again, even if nothing that they depend on seems to have
/// changed.
pub const EVENT_READY: Duration = Duration::from_secs(30);
/// Shortest time from one check of the blockers to the next: a check looks at all TCP connections of the host.
pub const EVENT_READY_PAUSE: Duration = Duration::from_millis(500);
/// Number of recent samples of the chart that are all kept, one a second: a quarter of an hour. Each has 48 bytes.
pub const EVENT_SAMPLES: usize = 900;
/// Number of older samples that are kept, one a minute: a day.
pub const EVENT_MINUTES: usize = 1440;
