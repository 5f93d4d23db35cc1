//! Limits of configurations and of the files that are read.

use std::time::Duration;

/// Largest configuration file read.
pub const CONFIG_FILE_BYTES: u64 = 1024 * 1024;
/// Largest PEM file read: system CA bundles have 200 to 400 KiB, large CRLs some MiB.
pub const PEM_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Maximum number of listeners of the admin port, and of listeners of the probe port: enough for each address family
/// and interface.
pub const MOST_ADMIN_BINDS: usize = 16;
/// Maximum number of patterns for clients allowed at the admin port, and of host names under which it accepts requests.
pub const MOST_PATTERNS: usize = 64;
/// How many of the patterns, and of the names in a certificate, a refusal at the admin port shows.
pub const ALLOW_SHOWN: usize = 8;
/// How many of its own certificate's names the admin port shows in answer to a request for another name.
pub const HOST_NAMES_SHOWN: usize = 8;
/// Longest pattern for clients that are allowed at the admin port, in bytes. Certificate subjects are shorter.
pub const PATTERN_BYTES: usize = 1024;
/// How long a plaintext client that has disconnected still blocks `requireSSL`. One day is enough to find nightly jobs.
pub const GUARD_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// Longest guard window that can be configured. It is enough to find monthly jobs.
pub const GUARD_WINDOW_MOST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Maximum number of bytes read of a password file. OpenSSL accepts passwords of up to 1,024 bytes.
pub const PASSWORD_FILE_BYTES: u64 = 4 * 1024;

/// Most PBKDF2 iterations of an encrypted private key: they take some seconds. OpenSSL writes 2,048 by default; OWASP
/// recommends 600,000.
pub const KEY_PBKDF2_ITERATIONS: u32 = 10_000_000;
/// Most memory that scrypt may use for an encrypted private key: OpenSSL's own limit, so OpenSSL does not read a key
/// that exceeds it either.
pub const KEY_SCRYPT_BYTES: u64 = 32 * 1024 * 1024;
/// Most blocks (N r p) that scrypt may compute for an encrypted private key: they take about a second. OpenSSL's
/// default has 131,072.
pub const KEY_SCRYPT_BLOCKS: u64 = 4 * 1024 * 1024;

/// Maximum number of data-plane workers: more than the cores of any machine on which tlsramp is expected to run.
pub const MOST_WORKERS: usize = 256;
/// Maximum number of outbound routes. A replica set has at most 50 members.
pub const MOST_OUTBOUND: usize = 256;
/// Maximum number of members that a configuration may name. A set has 50 at most, and its members may be renamed.
pub const MOST_MEMBERS: usize = 256;

/// Maximum number of sets that a rollout may name: the shards of a sharded cluster and its config servers.
pub const NAMED_SETS: usize = 64;
/// Maximum number of members that a rollout may name for one set. MongoDB allows 50.
pub const NAMED_MEMBERS_OF_SET: usize = 50;
/// Maximum number of members that a rollout may name in all: as many as a configuration may name, and as many as a
/// rollout may have nodes.
pub const NAMED_MEMBERS: usize = MOST_MEMBERS;
/// Longest name of a set, in characters. MongoDB has no limit, and names in use have fewer than 40.
pub const NAMED_SET_CHARS: usize = 128;
