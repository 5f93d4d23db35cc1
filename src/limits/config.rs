//! Bounds of what a configuration may name, and of the files that are read.

use std::time::Duration;

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

/// Most of a password file that is read; OpenSSL takes passwords of 1,024 bytes.
pub const PASSWORD_FILE_BYTES: u64 = 4 * 1024;

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
