//! Bounds of the data plane: openings, relays, sockets, descriptors, slots, name resolution.

use std::time::Duration;

/// How much of an opening is looked at, in bytes. 16 decide; the rest is for the record (versions offered, SNI)
/// of a hello that is refused. A post-quantum hello has 1.2 to 1.8 KiB, its versions and SNI within that.
pub const PEEK_BYTES: usize = 2048;

/// How long the opening of a client that is turned away is looked at for its name: it is there already, as it was judged.
pub const WHO: Duration = Duration::from_millis(100);

/// How often a connection is judged before its first byte is relayed: again after each change in the meantime. Changes are
/// made by people, or one after the other by a rollout; only a mode that is set to and fro gets here.
pub const JUDGED_MOST: usize = 8;

/// Unread bytes of a refused client that are discarded before the close, so that no reset overtakes the answer.
pub const LINGER_BYTES: usize = 1024 * 1024;
/// How long a refused client's bytes are discarded.
pub const LINGER: Duration = Duration::from_secs(1);

/// After one side has ended, how long the other may be idle: long enough for a slow reply (ghostunnel raised
/// its second to 60 s because replies were cut), short enough that nothing piles up.
pub const HALF_CLOSED_IDLE: Duration = Duration::from_secs(60);

/// How long a peer that we cut off may take to take our `close_notify`.
pub const FAREWELL: Duration = Duration::from_secs(1);

/// How much of a stop's time is kept for outbound connections, if it is long enough: the last words of a server that goes
/// down (a step-down, cursors that it closes) are a few round trips to its peers.
pub const OUTBOUND_FAREWELL: Duration = Duration::from_secs(5);
/// What part of a short stop's time that is: the clients' is the longer one.
pub const OUTBOUND_FAREWELL_SHARE: u32 = 4;

/// Bytes moved by one read of a relay. Nearly four TLS records: 8 KiB reads make half-empty ones, at twice the CPU. And
/// with their overhead no more than a socket passes on in one piece (64 KiB less the headers): 4 KiB more, and every
/// write has a second, tiny one behind it.
pub const RELAY_BUFFER: usize = 60 * 1024;
/// The same while much moves, for a tenth less CPU. What a sink does not take of it is kept, so not the first choice.
pub const RELAY_BUSY: usize = 4 * RELAY_BUFFER;
/// Full reads in a row after which much moves: what is over by then is done sooner without.
pub const BUSY_AFTER: u8 = 4;

/// How often a worker wakes with nothing to do: seldom enough to cost nothing, and before any wait of a connection is
/// over.
pub const WORKER_BEAT: Duration = Duration::from_secs(1);
/// Bytes of one direction before the other connections of the worker get their turn; a read counts as a full one.
pub const RELAY_TURN: usize = 16 * RELAY_BUFFER;
/// Bytes through a pipe at a time, which is its size. Linux lets a user have 64 MiB in pipes (pipe(7)), and a worker's
/// are a mebibyte.
pub const SPLICE_BYTES: usize = 256 * 1024;
/// Pipes of a worker. More than so many bulk transfers at a time on one core wait for each other anyway.
pub const PIPES: usize = 4;

/// TCP keepalive: idle time, interval and probes. Two minutes in all to notice a dead peer on an idle link.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Between two keepalive probes.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Keepalive probes without an answer before the peer counts as dead.
pub const KEEPALIVE_PROBES: u32 = 6;
/// Unacknowledged data for this long ends a connection: as long as keepalive takes on an idle one.
pub const USER_TIMEOUT: Duration = Duration::from_secs(120);

/// How often the peers of a connection are asked for while one of them is not read: a reset is passed on within a second.
pub const PEER_LOOK: Duration = Duration::from_millis(500);
/// How long a stream may take none of the bytes that wait for it. Longer than [`USER_TIMEOUT`], so that TCP, which knows
/// which peer it was, speaks first; a Unix socket has nothing of the kind.
pub const STALLED: Duration = Duration::from_secs(150);

/// Length of the accept queue asked for: what a pool storm needs; the kernel cuts it to `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4096;
/// First pause after accept ran out of descriptors or memory; it doubles.
pub const ACCEPT_BACKOFF_FIRST: Duration = Duration::from_millis(5);
/// Longest pause between two accepts.
pub const ACCEPT_BACKOFF_MOST: Duration = Duration::from_secs(1);

/// Descriptors kept back for logs, files that are read again, names that are resolved, listeners.
pub const RESERVED_DESCRIPTORS: u64 = 128;
/// Descriptors of one worker: its runtime's, a listener, a connection accepted and about to be turned away; and those of
/// its pipes.
pub const DESCRIPTORS_PER_WORKER: u64 = 8 + 2 * PIPES as u64;
/// Descriptors without which the process does not start: standard streams, the control plane's event queue, signals.
pub const OWN_DESCRIPTORS: u64 = 10;
/// Descriptors without which a worker does not start: its event queue, the wake-up of that, and its share in signals.
pub const DESCRIPTORS_PER_RUNTIME: u64 = 4;
/// Connections without which a proxy serves nobody: a client's, and one of the probe or of the admin port.
pub const LEAST_CONNECTIONS: u64 = 2;
/// Descriptors of one connection: the client's and the upstream's.
pub const DESCRIPTORS_PER_CONNECTION: u64 = 2;
/// Share of the connections that the descriptors carry which is for inbound clients, in percent. The rest is for
/// outbound routes: a client storm must not cut the local server off from its peers.
pub const INBOUND_PERCENT: u64 = 80;
/// Inbound connections kept for members of the set: each of the other members of the largest set (50) has one or two for
/// heartbeats and one for replication; more than half of all are never kept.
pub const MEMBER_RESERVE: usize = 64;
/// Connections beyond the limit that wait for a slot, accepted. Each has one descriptor, and what it sends stays in the
/// kernel. Further ones are closed, or take the place of one whose address has more that wait: so those of members behind
/// them in the kernel's queue are reached.
pub const WAITING_ROOM: u64 = 1024;
/// One in so many of the connections that the descriptors carry may be one that waits, at most; but for the least.
pub const WAITING_SHARE: u64 = 8;
/// Places to wait where the descriptors carry few connections: with one, a single silent client would keep out all others,
/// since a newcomer takes the place of one whose address has two.
pub const WAITING_LEAST: u64 = 4;
/// Most connections counted on, however high the descriptor limit (containers often have no limit at all).
pub const MOST_CONNECTIONS: u64 = 1_000_000;

/// Addresses tried for one name; a name with more is a mistake or an attack.
pub const MOST_ADDRESSES: usize = 16;

/// How long an answer of DNS is used without asking again: a pool that opens asks once, a moved server is found
/// within ten seconds.
pub const RESOLUTION_FRESH: Duration = Duration::from_secs(10);
/// How long DNS is waited for when an older answer is at hand.
pub const RESOLUTION_WAIT: Duration = Duration::from_millis(500);
/// How long a name that did not resolve is not asked for again.
pub const RESOLUTION_FAILED: Duration = Duration::from_secs(1);
/// First pause before a Unix socket whose accept queue is full is tried again; it doubles.
pub const UNIX_RETRY_FIRST: Duration = Duration::from_millis(1);
/// Longest pause between two tries.
pub const UNIX_RETRY_MOST: Duration = Duration::from_millis(50);
/// Threads of a worker that may wait for DNS; more would only wait for the same server.
pub const BLOCKING_THREADS: usize = 4;
/// How long a client must have been silent before its slot may be given to one that waits. One that means to speak does so
/// within a round trip; a pool that was opened in advance is used within seconds, or is not missed.
pub const SILENT_LEAST: Duration = Duration::from_secs(10);
/// How long a connection must have been established before its requests show that it is in use, and is no reason to let its
/// source wait: as long as a silent one is left alone. A few messages at the beginning are cheap to send and to leave at that.
pub const IN_USE_AFTER: Duration = SILENT_LEAST;
/// How long a connection is in use after a request. Connections of a pool take turns.
pub const IN_USE_FOR: Duration = Duration::from_secs(30);
/// How often the requests of a connection are noted: each time takes the lock of all slots.
pub const IN_USE_NOTED: Duration = Duration::from_secs(5);
/// How often a connection that waits for a slot looks whether a silent one may be asked to leave by now.
pub const WAITING_LOOK: Duration = Duration::from_millis(500);
/// How long all slots must have been taken before the log says so.
pub const SLOTS_WARNING: Duration = Duration::from_secs(1);
