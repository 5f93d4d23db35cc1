//! Bounds of the control plane: probes, checks, recycling, watched files, the state file; of the command-line client.

use std::time::Duration;

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
