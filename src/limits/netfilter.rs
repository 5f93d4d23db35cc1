//! Limits of `tlsramp netfilter`.

use std::time::Duration;

/// Maximum number of member ports, and of member addresses, of a sidecar's redirect. MongoDB allows 50 members in a
/// set, and a sharded cluster has a few sets.
pub const NETFILTER_MEMBERS: usize = 256;
/// Timeout of nft and iptables. They take some seconds on a host with many thousands of rules.
pub const NETFILTER_TOOL_WAIT: Duration = Duration::from_secs(60);
/// Largest output of nft and iptables. A blocklist of a million addresses takes about 30 MB.
pub const NETFILTER_LISTING_BYTES: u64 = 256 * 1024 * 1024;
/// Maximum number of rules of the host that are listed when a redirect is refused.
pub const NETFILTER_MENTIONS_SHOWN: usize = 50;
/// Maximum number of listed connections that are older than the rules, and of their peers for which a command is
/// printed: one screen.
pub const NETFILTER_OLDER_SHOWN: usize = 20;
/// Interval at which `--keep` checks the rules and the server's addresses without a change notification.
pub const NETFILTER_KEEP_LOOK: Duration = Duration::from_secs(2);
/// Shortest interval between two checks of `--keep`. Reloading a firewall sends many change notifications.
pub const NETFILTER_KEEP_PAUSE: Duration = Duration::from_millis(20);
/// Timeout for `--keep` to end: the same as for nft itself.
pub const NETFILTER_KEEP_END: Duration = NETFILTER_TOOL_WAIT;
