//! Limits of the control plane (probes, checks, recycling, watched files, the state file) and of the command-line
//! client.

use std::time::Duration;

/// Interval between two `hello` commands of the probe; the same as drivers' heartbeats.
pub const PROBE_EVERY: Duration = Duration::from_secs(10);
/// Timeout of the probe's answer. A running server answers `hello` from memory.
pub const PROBE_ANSWER: Duration = Duration::from_secs(5);
/// Largest answer to the probe. A `hello` answer that lists 50 members takes less than 16 KiB.
pub const PROBE_ANSWER_BYTES: usize = 1024 * 1024;
/// Maximum number of members of a set that are recorded. MongoDB allows 50.
pub const PROBE_MEMBERS: usize = 50;
/// Pause before the other kind of link (TLS or plaintext) is tried again. If the server does not support it, each
/// attempt writes a line to the server's log.
pub const OTHER_LINK_AGAIN: Duration = Duration::from_secs(60);
/// Interval at which the member lists of the local servers are checked for changes. A new member connects to the others
/// at once, so their tlsramps have to know it soon.
pub const ROSTER_LOOK: Duration = Duration::from_secs(1);
/// Interval at which the interception rules are checked and connections that bypass them are searched. Missing rules
/// are detected within ten seconds.
pub const REDIRECT_LOOK: Duration = Duration::from_secs(5);
/// Timeout of the canary connection, which never leaves the host.
pub const CANARY_ANSWER: Duration = Duration::from_secs(1);
/// Maximum number of bypassing connections shown: enough to find out which clients they belong to.
pub const BYPASS_SHOWN: usize = 100;

/// Time limit of `doctor` for one phase of connecting to a server. It is short, because two phases and an answer, for
/// each kind of link, must fit into the time that the command-line client waits for the whole answer.
pub const DOCTOR_DIAL: Duration = Duration::from_secs(3);
/// Time limit of `doctor` for one server, both kinds of link included.
pub const DOCTOR_SERVER: Duration = Duration::from_secs(8);
/// How long the results of `doctor` are reused, so that callers cannot cause an unlimited number of dials.
pub const DOCTOR_FRESH: Duration = Duration::from_secs(10);
/// Maximum number of servers that `doctor` connects to: all members of a set, and some more targets.
pub const DOCTOR_SERVERS: usize = 64;
/// Duration of a look-up above which `doctor` warns. A resolver waits five seconds for a name server by default
/// (resolv.conf(5)), so a look-up of more than a second has probably missed an answer.
pub const DOCTOR_LOOKUP_SLOW: Duration = Duration::from_secs(1);
/// Difference of clocks above which `doctor` warns. Synchronized clocks differ by milliseconds, and an answer takes
/// less than this, so a larger difference means a clock that is not synchronized.
pub const DOCTOR_SKEW: Duration = Duration::from_secs(5);
/// Number of connections below which `doctor` warns: a driver opens up to 100 to each server from each process, so ten
/// processes may need a thousand.
pub const DOCTOR_LEAST_CONNECTIONS: u64 = 1000;
/// Share of open descriptors at which `doctor` calls them exhausted: connections are refused before the last is taken.
pub const DESCRIPTORS_USED_PERCENT: u64 = 95;

/// Interval between two checks of connections that are being recycled.
pub const RECYCLE_LOOK: Duration = Duration::from_millis(20);
/// How long the answer to a recycle request waits until connections have been recycled. Any boundary is used after 5 s,
/// and ending a connection takes one or two more seconds.
pub const RECYCLE_WAIT: Duration = Duration::from_secs(8);
/// Longest grace time of a recycle request. Who wants to wait for longer can leave it out.
pub const RECYCLE_GRACE_MOST: Duration = Duration::from_secs(86_400);
/// Longest wait that a recycle request may ask for.
pub const RECYCLE_WAIT_MOST: Duration = Duration::from_secs(600);
/// Interval at which the certificates of established clients are verified again, even if our own trust material has not
/// changed, because certificates expire.
pub const CERTIFICATES_RECHECK: Duration = Duration::from_secs(3600);
/// Changes kept in the history: enough for many rollouts, each with three changes of mode and a lease, including
/// failed attempts.
pub const HISTORY_ENTRIES: usize = 200;
/// Longest text of a history entry, in characters: enough for a refusal with its first reasons. The log has the full
/// text.
pub const HISTORY_TEXT_CHARS: usize = 300;
/// Number of latest entries that are searched for a duplicate. Retries of a file watch produce entries in pairs.
pub const HISTORY_LOOK_BACK: usize = 4;
/// Interval at which new inventory data is written to the state file. A crash loses the data of one interval at most.
pub const STATE_SAVED_EVERY: Duration = Duration::from_secs(10);
/// Interval between warnings about certificates that expire soon: daily, as in mongod.
pub const EXPIRY_LOOK: Duration = Duration::from_secs(24 * 3600);

/// How long watched files must be unchanged before they are read. Several files are often written one after the other.
pub const WATCH_QUIET: Duration = Duration::from_millis(200);
/// Longest wait for the watched files to be unchanged for [`WATCH_QUIET`].
pub const WATCH_LONGEST: Duration = Duration::from_secs(2);
/// Interval at which watched files are checked without an event. A file system that another host changes sends no
/// events.
pub const WATCH_RECHECK: Duration = Duration::from_secs(60);
/// Maximum number of symbolic links followed from a watched file. Linux follows 40.
pub const WATCH_LINKS: usize = 40;

/// Time limit of the blocker checks of a forced change. An operator who rolls back in an emergency must not wait for
/// them.
pub const FORCED_LOOK: Duration = Duration::from_secs(1);

/// Maximum number of findings in the answer to a change. A full inventory of names chosen by an attacker would make 8
/// MB.
pub const BLOCKERS_SHOWN: usize = 100;

/// How many of these findings a one-line refusal names.
pub const BLOCKERS_IN_A_LINE: usize = 8;

/// Largest state file read: twice the size of the inventory with rows of maximal length.
pub const STATE_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Interval at which the number of open connections is reported to the service manager, if it has changed. It is shown
/// to people.
pub const MANAGER_STATUS_EVERY: Duration = Duration::from_secs(5);
/// Timeout of a write to a service manager that does not read. It must not delay shutdown.
pub const MANAGER_WAIT: Duration = Duration::from_secs(1);

/// How long a handover waits for changes in progress. Those that probe servers take the longest.
pub const TAKEOVER_FREEZE: Duration = Duration::from_secs(10);
/// How long the replaced process waits for the next message of the new one, which meanwhile opens the listeners that
/// need capabilities, drops the capabilities, and reads its files again.
pub const TAKEOVER_PREPARE: Duration = Duration::from_secs(60);
/// How long the replaced process stays frozen until the new one is ready. In that time, the new one starts its workers
/// and opens new listeners.
pub const TAKEOVER_READY: Duration = Duration::from_secs(15);
/// How long the new process waits for an answer of the replaced one, and for all sockets: longer than a freeze.
pub const TAKEOVER_ANSWER: Duration = Duration::from_secs(20);
/// Largest message of a handover: the state file's limit, with room for the rest.
pub const TAKEOVER_BYTES: usize = 20 * 1024 * 1024;
/// Maximum number of sockets that are handed over. The largest number of workers times the largest number of routes is
/// more, but a process may not open that many descriptors.
pub const TAKEOVER_SOCKETS: usize = 16_384;
/// Processes that may wait in the queue of the takeover socket. One is answered at a time.
pub const TAKEOVER_QUEUE: i32 = 128;
/// How long a new process that this one has started may take to replace it.
pub const TAKEOVER_START: Duration = Duration::from_secs(90);
/// Interval at which this process checks whether that new process has ended.
pub const TAKEOVER_LOOK: Duration = Duration::from_millis(100);

/// Timeout of the command-line client's connection to an admin port; the TLS handshake has a timeout of the same
/// length.
pub const CLIENT_CONNECT: Duration = Duration::from_secs(5);
/// Timeout of the command-line client for an answer, in addition to the wait that it requested. A change probes every
/// local server twice.
pub const CLIENT_ANSWER: Duration = Duration::from_secs(30);
/// How often the command-line client repeats a change that was not made because a new process has replaced the one that
/// was asked. The new process accepts by then, so once is enough unless it is replaced as well.
pub const CLIENT_REPLACED_TRIES: u32 = 2;
/// Pause before such a repetition.
pub const CLIENT_REPLACED_PAUSE: Duration = Duration::from_millis(100);
/// Largest answer that the command-line client reads. A list of 100,000 connections takes about 50 MiB.
pub const CLIENT_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// How much the command-line client shows of an answer that does not come from tlsramp, in characters: enough to
/// identify its sender.
pub const CLIENT_FOREIGN_CHARS: usize = 80;
