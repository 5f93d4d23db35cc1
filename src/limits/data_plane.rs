//! Limits of the data plane: openings, relays, sockets, descriptors, slots, name resolution.

use std::time::Duration;

/// How many bytes of an opening are examined. 16 bytes decide what it is; the rest is for the record of a refused hello
/// (offered versions, SNI). A post-quantum hello has 1.2 to 1.8 KiB and contains its versions and SNI within that.
pub const PEEK_BYTES: usize = 2048;

/// Timeout for reading the name of a refused client from its opening. The opening has already arrived, since the
/// verdict was based on it.
pub const WHO: Duration = Duration::from_millis(100);

/// Maximum number of attempts to establish one connection. A policy change in the meantime needs a new verdict and a new
/// attempt. Changes are made by people, or one after the other by a rollout, so only a mode that is
/// switched back and forth reaches this limit.
pub const ESTABLISH_ATTEMPTS: usize = 8;

/// Maximum number of unread bytes of a refused client that are discarded before the close, so that no reset overtakes
/// the answer.
pub const LINGER_BYTES: usize = 1024 * 1024;
/// How long a refused client's bytes are discarded.
pub const LINGER: Duration = Duration::from_secs(1);

/// After one side has ended, how long the other may be idle. This is long enough for a slow reply (ghostunnel raised
/// its one second to 60 s because replies were cut) and short enough that half-closed connections do not accumulate.
pub const HALF_CLOSED_IDLE: Duration = Duration::from_secs(60);

/// Timeout for sending `close_notify` to a peer whose connection we end.
pub const FAREWELL: Duration = Duration::from_secs(1);

/// How long a connection that was accepted shortly before a stop may take to send its first bytes. A client that
/// connects sends within a round trip.
pub const DRAIN_SPEAK: Duration = Duration::from_secs(1);
/// How long a stop waits, before it closes open connections, until the workers accept no more. A worker needs one turn
/// of its event loop.
pub const ACCEPT_ENDS: Duration = Duration::from_secs(1);
/// After how long a stop closes a client's connection to a member of a replica set at any message boundary. By then,
/// most drivers have lost their monitor's connection, and have closed the connections of their pools themselves.
pub const DRAIN_ANY_BOUNDARY: Duration = Duration::from_secs(2);
/// Interval at which a stop looks for connections that were established meanwhile.
pub const DRAIN_LOOK: Duration = Duration::from_millis(100);

/// Part of the shutdown time that is reserved for outbound connections, if the shutdown time is long enough. The last
/// messages of a server that shuts down (a step-down, closing cursors) take a few round trips to its peers.
pub const OUTBOUND_FAREWELL: Duration = Duration::from_secs(5);
/// Divisor of a shutdown time that is too short for [`OUTBOUND_FAREWELL`]: one quarter of it is reserved for outbound
/// connections, and inbound connections get the larger part.
pub const OUTBOUND_FAREWELL_SHARE: u32 = 4;

/// Bytes moved by one read of a relay: nearly four TLS records. Reads of 8 KiB produce half-empty records at twice the
/// CPU. With the overhead of the records, this is no more than a socket sends in one piece (64 KiB less the headers).
/// With 4 KiB more, a second, tiny write follows every write.
pub const RELAY_BUFFER: usize = 60 * 1024;
/// Most bytes moved by one read during a bulk transfer, if they fit the processor's cache. Such reads take 10 % less
/// CPU. Bytes that the sink does not accept have to be kept, so this size is not used from the start.
pub const RELAY_BUSY: usize = 4 * RELAY_BUFFER;
/// Full reads in a row after which a relay counts as a bulk transfer. A shorter transfer is faster without the larger
/// buffer.
pub const BUSY_AFTER: u8 = 4;

/// Interval of a timer of each worker. While a worker has a timer that expires earlier, setting the timer of a
/// connection does not interrupt `epoll_wait`. Therefore, this interval is shorter than [`PEER_LOOK`], the shortest
/// usual timer of a connection, which every half-closed connection sets. It is long enough to cost nothing.
pub const WORKER_BEAT: Duration = Duration::from_millis(400);
/// Bytes relayed in one direction before the worker's other connections are polled. A smaller read counts as
/// [`RELAY_BUFFER`] bytes.
pub const RELAY_TURN: usize = 16 * RELAY_BUFFER;
/// Bytes moved through a pipe at a time: the size of the pipe. Linux allows a user 64 MiB in pipes (pipe(7)); the pipes
/// of a worker take 1 MiB.
pub const SPLICE_BYTES: usize = 256 * 1024;
/// Pipes of a worker. More than four concurrent bulk transfers on one core wait for each other anyway.
pub const PIPES: usize = 4;

/// Idle time before the first TCP keepalive probe. With [`KEEPALIVE_INTERVAL`] and [`KEEPALIVE_PROBES`], a dead peer on
/// an idle link is detected after two minutes.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// Interval between two keepalive probes.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Unanswered keepalive probes after which the peer counts as dead.
pub const KEEPALIVE_PROBES: u32 = 6;
/// Time after which unacknowledged data ends a connection (`TCP_USER_TIMEOUT`): as long as keepalive needs to detect a
/// dead peer on an idle connection.
pub const USER_TIMEOUT: Duration = Duration::from_secs(120);
/// Interval of the checks for connections that are no longer young, so that connections are young for one to two
/// intervals: longer than most short connections last, and short compared to [`KEEPALIVE_IDLE`].
pub const YOUNG_CHECK: Duration = Duration::from_secs(5);

/// Interval at which the sockets of a connection are checked for errors while one of them is not read, so that a reset
/// is passed on within a second.
pub const PEER_LOOK: Duration = Duration::from_millis(500);
/// How long a stream may accept none of the bytes that wait for it. This is longer than [`USER_TIMEOUT`], so that TCP,
/// which knows the failed peer, reports the error first. A Unix socket has no such timeout.
pub const STALLED: Duration = Duration::from_secs(150);

/// Requested length of the accept queue, large enough for a connection storm of pools. The kernel limits it to
/// `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4096;
/// Connections that a worker accepts before it serves everything else that is ready. Accepting one takes some 15 us,
/// with its record and its task.
pub const ACCEPTED_AT_ONCE: usize = 16;
/// First pause after accept failed for lack of descriptors or memory. The pause doubles with each failure.
pub const ACCEPT_BACKOFF_FIRST: Duration = Duration::from_millis(5);
/// Longest pause between two calls of accept.
pub const ACCEPT_BACKOFF_MOST: Duration = Duration::from_secs(1);

/// Descriptors reserved for logs, files that are read again, name resolution and listeners.
pub const RESERVED_DESCRIPTORS: u64 = 128;
/// Descriptors of one worker: its runtime's, a listener, a connection that was accepted and is about to be refused, and
/// its pipes.
pub const DESCRIPTORS_PER_WORKER: u64 = 8 + 2 * PIPES as u64;
/// Descriptors that the process needs to start: standard streams, the control plane's event queue, signals.
pub const OWN_DESCRIPTORS: u64 = 10;
/// Descriptors that a worker needs to start: its event queue, the wake-up descriptor of that queue, and its share of
/// the signal descriptors.
pub const DESCRIPTORS_PER_RUNTIME: u64 = 4;
/// Minimum number of connections with which a proxy is useful: one of a client, and one of the probe or of the admin
/// port.
pub const LEAST_CONNECTIONS: u64 = 2;
/// Descriptors of one connection: the client's and the upstream's.
pub const DESCRIPTORS_PER_CONNECTION: u64 = 2;
/// Share of inbound clients in the connections that the descriptors allow, in percent. The rest is for outbound routes:
/// a client storm must not cut the local server off from its peers.
pub const INBOUND_PERCENT: u64 = 80;
/// Inbound connections reserved for members of the set. A member has one or two for heartbeats and one for replication,
/// so this is enough for 21 other members; a larger set needs `--memberReserve`. At most half of all connections are
/// reserved.
pub const MEMBER_RESERVE: usize = 64;
/// Maximum number of accepted connections beyond the limit that wait for a slot. Each takes one descriptor, and the
/// bytes it sends stay in the kernel. A further connection is closed, or replaces one of the source with the most
/// waiting connections. A member's connection replaces any but a member's, so clients that fill the queue cannot keep
/// members out.
pub const WAITING_ROOM: u64 = 1024;
/// Divisor of the number of connections that the descriptors allow. The quotient limits the number of waiting
/// connections, but not below [`WAITING_LEAST`].
pub const WAITING_SHARE: u64 = 8;
/// Minimum number of places in the queue, if the descriptors allow few connections. With one place, a single silent
/// client would keep all other clients out: a client's connection replaces another one only if the source of that one
/// has at least two that wait.
pub const WAITING_LEAST: u64 = 4;
/// Largest number of connections assumed, however high the descriptor limit is (containers often have no limit).
pub const MOST_CONNECTIONS: u64 = 1_000_000;

/// Maximum number of addresses tried for one name. A name with more is a mistake or an attack.
pub const MOST_ADDRESSES: usize = 16;

/// How long a DNS answer is used without a new query. So all connections that a pool opens at once cause one query, and
/// a server that has moved is found within ten seconds.
pub const RESOLUTION_FRESH: Duration = Duration::from_secs(10);
/// How long to wait for DNS if an older answer is available.
pub const RESOLUTION_WAIT: Duration = Duration::from_millis(500);
/// How long a failed resolution is not repeated.
pub const RESOLUTION_FAILED: Duration = Duration::from_secs(1);
/// First pause before a connect to a Unix socket with a full accept queue is repeated. The pause doubles with each
/// attempt.
pub const UNIX_RETRY_FIRST: Duration = Duration::from_millis(1);
/// Longest pause between two such attempts.
pub const UNIX_RETRY_MOST: Duration = Duration::from_millis(50);
/// Threads of a worker that may wait for DNS. More threads would only wait for the same server.
pub const BLOCKING_THREADS: usize = 4;
/// How long a client must have been silent before its slot may be given to a waiting connection. A client that intends
/// to send does so within a round trip; a pool that was opened in advance is used within seconds or not needed.
pub const SILENT_LEAST: Duration = Duration::from_secs(10);
/// How long a connection must have been established before a request marks it as in use, so that its slot no longer
/// counts against its source: as long as a silent connection keeps its slot. A client could send a few messages at the
/// beginning at little cost and then stop.
pub const IN_USE_AFTER: Duration = SILENT_LEAST;
/// How long a connection counts as in use after a request. The connections of a pool are used in turn.
pub const IN_USE_FOR: Duration = Duration::from_secs(30);
/// Interval at which the requests of a connection are recorded. Each record takes the lock of all slots.
pub const IN_USE_NOTED: Duration = Duration::from_secs(5);
/// Interval at which a waiting connection checks whether a silent one may be asked to close.
pub const WAITING_LOOK: Duration = Duration::from_millis(500);
/// How long all slots must have been taken before a warning is logged.
pub const SLOTS_WARNING: Duration = Duration::from_secs(1);
