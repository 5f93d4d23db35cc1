//! Bounds of `tlsramp netfilter`.

use std::time::Duration;

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
