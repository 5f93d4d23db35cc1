//! Every bound in the program, each with its reason. What waits, queues, buffers or retries takes its bound
//! from here.

use std::time::Duration;

/// The waits of a connection's phases, as configured. Each phase has its own, so the whole from first byte to
/// relay is bounded by their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte until the opening is decided.
    pub sniff: Duration,
    /// A TLS handshake, with a client or with an upstream.
    pub handshake: Duration,
    /// Name resolution and TCP connect to an upstream.
    pub connect: Duration,
    /// How long a stop waits for open connections, inbound and then outbound; zero waits for as long as it takes.
    pub drain: Duration,
    /// Whether the sniff's wait starts at accept already: a client that says nothing is closed.
    pub close_silent: bool,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            sniff: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            drain: Duration::from_secs(60),
            close_silent: false,
        }
    }
}

/// Longest wait that a configuration may ask for, in seconds: a day. Beyond it a typing mistake is likelier.
pub const LONGEST_TIMEOUT_SECS: u64 = 86_400;

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
/// A TLS record, the longest that RFC 5246 allows (section 6.2.3), with its header.
pub const TLS_RECORD: usize = 5 + 16 * 1024 + 2048;
/// Bytes of records read at a time: as much as a relay moves, and the overhead of that.
pub const TLS_READ: usize = RELAY_BUSY + 1024;
/// Bytes of records that a client may leave unfinished after the handshake, framing included: one record. The one handshake
/// message that it may send then, a `key_update`, has 5 bytes.
pub const TLS_UNFINISHED_BY_CLIENT: usize = TLS_RECORD;
/// The same for a server, which sends session tickets: two records, 32 KiB of plaintext. Stateless tickets hold the client's
/// certificates: OpenSSL's the client's own, Go's and Java's its chain, Go's twice; with four of RSA-4096 that is 16 KiB.
pub const TLS_UNFINISHED_BY_SERVER: usize = 2 * TLS_RECORD;
/// Bytes of records that a TLS stream holds during a handshake because they are not whole: a record, or a handshake
/// message, which the stack bounds to 64 KiB, in its records.
pub const TLS_HELD: usize = 96 * 1024;
/// Bytes of a handshake that a client may send before our first answer, framing included: a hello of 16 KiB, or one of 2.7
/// KiB in records of a byte each. The largest real ones, with two post-quantum key shares and a ticket, have under 4 KiB.
pub const CLIENT_HELLO: usize = 16 * 1024;
/// Bytes that it may send from then to the end of its handshake, the same: its certificates and a signature. With three
/// intermediates of RSA-4096 those have 8 KiB, with four of ML-DSA-65 25 KiB.
pub const CLIENT_FLIGHT: usize = 32 * 1024;
/// Bytes that a server may send in a handshake: its certificates, and the names of the CAs that it takes, of which a public
/// bundle has 150 in 16 KiB.
pub const SERVER_FLIGHT: usize = 64 * 1024;
/// Bytes that all handshakes under way may have taken in, before one is given up and the others wait until it is gone: those
/// with clients together, and those with servers together. What each worker has just read may come on top. It carries 340
/// clients that have sent all they may; a usual one sends some 3 KiB, so that 5,000 fit at a time.
pub const HANDSHAKES_HELD: usize = 16 * 1024 * 1024;
/// Plaintext encrypted at a time.
pub const TLS_WRITE: usize = RELAY_BUSY;
/// What that comes to: fifteen records, a `key_update` before them, and room to spare.
pub const TLS_WRITTEN: usize = TLS_WRITE + 1024;
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

/// Largest configuration file read.
pub const CONFIG_FILE_BYTES: u64 = 1024 * 1024;
/// Largest PEM file read: system CA bundles have 200 to 400 KiB, large CRLs some MiB.
pub const PEM_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Listeners of the admin port, and of the probes: one for each family and interface that anyone has.
pub const MOST_ADMIN_BINDS: usize = 16;
/// Patterns of who may come to the admin port, and names that it may be asked by.
pub const MOST_PATTERNS: usize = 64;
/// How many of the patterns, and of a certificate's names, a refusal at the admin port shows.
pub const ALLOW_SHOWN: usize = 8;
/// How many names of its own certificate the admin port shows to a request for another.
pub const HOST_NAMES_SHOWN: usize = 8;
/// Longest such pattern, in bytes: subjects are shorter.
pub const PATTERN_BYTES: usize = 1024;
/// How long a plaintext client that has left still stands in the way of `requireSSL`: a day finds nightly jobs.
pub const GUARD_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// Longest such time: it finds monthly jobs.
pub const GUARD_WINDOW_MOST: Duration = Duration::from_secs(30 * 24 * 3600);

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
/// Most of a password file that is read; OpenSSL takes passwords of 1,024 bytes.
pub const PASSWORD_FILE_BYTES: u64 = 4 * 1024;
/// How much of a compressed request is kept until its kind is known, and of a message of a connection that is watched for a
/// boundary: zstd says nothing before the end of its first block, of 128 KiB at most.
pub const FOLLOWED_HEAD_BYTES: usize = 132 * 1024;
/// How much of a message is looked at in plain while its connection is watched: a command's document, a small answer.
pub const FOLLOWED_PLAIN_BYTES: usize = 16 * 1024;
/// How much of the end of a larger one: what mongod writes behind a batch (the cursor's number and name, times, a signature)
/// has under 600 bytes.
pub const FOLLOWED_TAIL_BYTES: usize = 1024;

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

/// Between two `hello`s of the probe: as drivers' heartbeats.
pub const PROBE_EVERY: Duration = Duration::from_secs(10);
/// How long the probe waits for an answer: `hello` is answered from memory, by a server that is up.
pub const PROBE_ANSWER: Duration = Duration::from_secs(5);
/// Largest answer to the probe: a `hello` of fifty members has under 16 KiB.
pub const PROBE_ANSWER_BYTES: usize = 1024 * 1024;
/// Members of a set that are noted: MongoDB allows 50.
pub const PROBE_MEMBERS: usize = 50;
/// How long the other kind of link is not tried again: where it is not spoken, each try is a line in a log.
pub const OTHER_LINK_AGAIN: Duration = Duration::from_secs(60);
/// How often it is looked whether the servers behind name other members: a member that joins dials at once.
pub const ROSTER_LOOK: Duration = Duration::from_secs(1);
/// How often the redirect rules are looked for, and connections that go around them: gone rules are known in ten seconds.
pub const REDIRECT_LOOK: Duration = Duration::from_secs(5);
/// How long the canary may take: it never leaves the host.
pub const CANARY_ANSWER: Duration = Duration::from_secs(1);
/// Connections that go around, as shown: enough to see whose they are.
pub const BYPASS_SHOWN: usize = 100;

/// Between two looks at connections that are being recycled.
pub const RECYCLE_LOOK: Duration = Duration::from_millis(20);
/// How long the answer to a recycle waits for connections to have moved: any boundary does after 5 s, and an end takes one
/// or two.
pub const RECYCLE_WAIT: Duration = Duration::from_secs(8);
/// Longest wait that a recycle may ask for.
pub const RECYCLE_WAIT_MOST: Duration = Duration::from_secs(600);
/// How often the certificates of established clients are verified again where ours have not changed: they expire.
pub const CERTIFICATES_RECHECK: Duration = Duration::from_secs(3600);
/// Changes that the history keeps: a rollout of four steps with its trials, many times over.
pub const HISTORY_ENTRIES: usize = 200;
/// Longest text of an entry, in characters: a refusal with its first reasons. The log has all of it.
pub const HISTORY_TEXT_CHARS: usize = 300;
/// How many of the last entries are looked through for one that repeats itself: what a watch retries, it retries in twos.
pub const HISTORY_LOOK_BACK: usize = 4;
/// How often what was seen of clients goes to the state file, if anything was. A crash loses as much.
pub const STATE_SAVED_EVERY: Duration = Duration::from_secs(10);
/// How often certificates that will expire are warned of: daily, as in mongod.
pub const EXPIRY_LOOK: Duration = Duration::from_secs(24 * 3600);

/// How long watched files must have been quiet before they are read: several are often written one after the other.
pub const WATCH_QUIET: Duration = Duration::from_millis(200);
/// How long that quiet is waited for.
pub const WATCH_LONGEST: Duration = Duration::from_secs(2);
/// How often watched files are looked at without an event: a file system of another host sends none.
pub const WATCH_RECHECK: Duration = Duration::from_secs(60);
/// Symbolic links followed from a watched file: Linux follows 40.
pub const WATCH_LINKS: usize = 40;

/// How long a forced change looks at what it might hurt: who rolls back at three in the morning does not wait.
pub const FORCED_LOOK: Duration = Duration::from_secs(1);

/// Findings that a change is answered with: a full inventory of hostile names would make eight MB of them.
pub const BLOCKERS_SHOWN: usize = 100;

/// Of those, how many the one line of a refusal names.
pub const BLOCKERS_IN_A_LINE: usize = 8;

/// Largest state file read: the inventory's rows at their longest, twice.
pub const STATE_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// How often the service manager is told how many connections are open, if that has changed: for people who look.
pub const MANAGER_STATUS_EVERY: Duration = Duration::from_secs(5);
/// How long a service manager is waited for that does not read: no reason to hold up a stop.
pub const MANAGER_WAIT: Duration = Duration::from_secs(1);

/// How long the command-line client waits for a connection to an admin port, and as long again for TLS there.
pub const CLIENT_CONNECT: Duration = Duration::from_secs(5);
/// How long it waits for an answer, beside the wait that it asked for: a change probes every server behind, twice.
pub const CLIENT_ANSWER: Duration = Duration::from_secs(30);
/// Largest answer that it reads: a hundred thousand connections have some 50 MiB.
pub const CLIENT_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// How much of an answer it shows that is none of tlsramp's, in characters: enough to see whose it is.
pub const CLIENT_FOREIGN_CHARS: usize = 80;

/// Names of a certificate that an error shows: people's have under ten, and a peer may send thousands.
pub const CERTIFICATE_NAMES_SHOWN: usize = 16;
/// Destinations of outbound routes that are remembered: as many as there may be members. Beyond, the one that was dialled
/// longest ago is forgotten.
pub const LINKS: usize = MOST_MEMBERS;
/// How long after its last failed dial a destination counts as one that is still wanted and fails: mongod dials a member
/// that it cannot reach every few seconds, and one of another set of its cluster within a minute.
pub const LINK_FAILING: Duration = Duration::from_secs(300);
/// Failing links that are warned of one by one.
pub const LINKS_WARNED: usize = 20;
/// Servers that a set of certificates keeps sessions of: twice the members of the largest configuration.
pub const CLIENT_CONFIGS: usize = 2 * MOST_OUTBOUND;
/// Names of servers that a TLS client keeps sessions of, per set of certificates and names: a server has a few names, and
/// the SNI of a client, which is passed on, may be any.
pub const CLIENT_SESSIONS: usize = 128;
/// TLS 1.3 tickets kept of each: one connection uses one up and brings one or two.
pub const CLIENT_TICKETS: usize = 8;
/// TLS 1.2 sessions kept for clients that take no tickets, per set of certificates.
pub const SERVER_SESSIONS: usize = 4096;

/// Most data-plane workers: more threads than any machine this is for has cores.
pub const MOST_WORKERS: usize = 256;
/// Most outbound routes: a replica set has at most 50 members.
pub const MOST_OUTBOUND: usize = 256;
/// Members that a configuration may name: a set has 50 at most, and may be renamed.
pub const MOST_MEMBERS: usize = 256;

/// Sets that a rollout may name: a sharded cluster's shards and its config servers.
pub const NAMED_SETS: usize = 64;
/// Members that it may name for one set: MongoDB allows 50.
pub const NAMED_MEMBERS_OF_SET: usize = 50;
/// Members that it may name in all: as many as a configuration may, and as a rollout has nodes.
pub const NAMED_MEMBERS: usize = MOST_MEMBERS;
/// Longest name of a set, in characters: MongoDB has no bound of its own, and people's have under 40.
pub const NAMED_SET_CHARS: usize = 128;

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
/// Days before a certificate's end from which on it is warned of, as in mongod.
pub const EXPIRY_WARNING_DAYS: u64 = 30;
/// How many of those warnings are given at a time: a bundle of public CAs has some hundred.
pub const VALIDITIES_SHOWN: usize = 16;
/// How many certificates, CAs and revocation lists a status lists, ours first.
pub const CERTIFICATES_SHOWN: usize = 64;

/// Documents read from one message at most: mongod's `maxWriteBatchSize`, which it announces in every `hello`. Without
/// it, 48 MB of empty documents would take twenty times that to hold.
pub const MAX_DOCUMENTS: usize = 100_000;
/// Longest message, header included: mongod's `maxMessageSizeBytes`, which it announces in every `hello`.
pub const MAX_MESSAGE_BYTES: usize = 48_000_000;
/// Longest collection name looked at in an OP_QUERY, in bytes without its zero: mongod's own limit for a namespace.
pub const MAX_NAMESPACE_BYTES: usize = 255;
/// Largest query of the stand-in server in bytes: open cursors keep theirs.
pub const STANDIN_FILTER_BYTES: usize = 16 * 1024;
/// The stand-in's connections: half the descriptors a Linux process usually gets at most by default.
pub const STANDIN_CONNECTIONS: usize = 10_000;
/// Pause after a failed accept, which is for want of descriptors or memory and does not pass at once.
pub const STANDIN_ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// The stand-in's cursors. With queries of up to 16 KiB, 16 MiB in all.
pub const STANDIN_CURSORS: usize = 1_000;
/// Documents of a first batch where the client does not say: mongod's default.
pub const STANDIN_FIRST_BATCH: usize = 101;
/// A batch ends with the document that brings it here, in bytes: with one of the largest, the reply stays under 48 MB.
pub const STANDIN_BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Documents that the stand-in stores: ten times what the largest test reads back.
pub const STANDIN_DOCUMENTS: usize = 1_000_000;
/// Bytes that the stand-in stores, identifiers counted twice: a demo must not take a laptop's memory.
pub const STANDIN_BYTES: usize = 512 * 1024 * 1024;
/// Largest document in bytes: mongod's `maxBsonObjectSize`.
pub const STANDIN_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;

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

/// Member ports, and member addresses, of a sidecar's redirect: MongoDB allows 50 members to a set, and a sharded cluster
/// has a few sets.
pub const NETFILTER_MEMBERS: usize = 256;
/// How long nft or iptables may take: some seconds for a host with many thousand rules.
pub const NETFILTER_TOOL_WAIT: Duration = Duration::from_secs(60);
/// Most that they may print: a blocklist of a million addresses has some 30 MB.
pub const NETFILTER_LISTING_BYTES: u64 = 256 * 1024 * 1024;
/// Rules of the host that the refusal of a redirect lists.
pub const NETFILTER_MENTIONS_SHOWN: usize = 50;
/// Connections older than the rules that are listed, and peers of theirs with a command for each: the screen of an operator.
pub const NETFILTER_OLDER_SHOWN: usize = 20;
/// How often `--keep` looks at the rules and at the server's addresses without being told of a change.
pub const NETFILTER_KEEP_LOOK: Duration = Duration::from_secs(2);
/// Least time between two looks of `--keep`: a reload of a firewall is many changes.
pub const NETFILTER_KEEP_PAUSE: Duration = Duration::from_millis(20);
/// How long a `--keep` may take to end: as long as nft itself.
pub const NETFILTER_KEEP_END: Duration = NETFILTER_TOOL_WAIT;

/// Intermediate certificates that a peer may show: the longest real chains have three, and some servers send the root as
/// well. Path building tries them in every order, so that its cost grows with their factorial.
pub const CHAIN_INTERMEDIATES: usize = 4;
/// Signatures that are verified for one certificate, its CRLs' included. A chain with four intermediates and
/// [`CRL_KEYS_PER_NAME`] lists takes nine; the rest is for CAs that share a name, each of which is tried. A stranger's
/// certificates are verified by the keys of our CAs alone, five for each CA of the name that they claim: with the
/// slowest kind of key, P-521, fourteen take less than 5 ms (benches/verdict.rs).
pub const CHAIN_SIGNATURES: usize = 14;
/// A public key of more than so many bytes counts as two, which are RSA keys over 4,096 bits: with 8,192, the most that the
/// provider takes, a verification takes twice as long as with P-521.
pub const CHAIN_KEY_BYTES: usize = 600;
/// Keys that may issue revocation lists under one name: a CA that was renewed has two. A certificate may be judged
/// once with each.
pub const CRL_KEYS_PER_NAME: usize = 4;
