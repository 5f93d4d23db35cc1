//! Limits of waits, queues, buffers and retries, with their reasons. Some limits that only one file uses are defined in
//! that file instead.

mod admin;
mod config;
mod control;
mod data_plane;
mod mongo;
mod netfilter;
mod standin;
mod telemetry;
mod tls;

use std::time::Duration;

pub use admin::*;
pub use config::*;
pub use control::*;
pub use data_plane::*;
pub use mongo::*;
pub use netfilter::*;
pub use standin::*;
pub use telemetry::*;
pub use tls::*;

/// The configured timeouts of a connection's phases. Each phase has its own timeout, so the time from the first byte to
/// the relay is bounded by their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Timeout from the first byte until the opening is decided.
    pub sniff: Duration,
    /// Timeout of a TLS handshake with a client or with an upstream.
    pub handshake: Duration,
    /// Timeout of name resolution and TCP connect to an upstream.
    pub connect: Duration,
    /// How long shutdown waits for open connections to end, first inbound, then outbound. Zero means without limit.
    pub drain: Duration,
    /// Whether the sniff timeout starts at accept, so that a client that sends nothing is closed.
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

/// Longest timeout that a configuration may set, in seconds: one day. A longer one is probably a typing mistake.
pub const LONGEST_TIMEOUT_SECS: u64 = 86_400;
