//! Every bound that more than one module uses, each with its reason. What waits, queues, buffers or retries has one; those
//! of a single command are beside it.

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
