//! The interface of a relay: its streams, its tap, and how it ends.

use std::io;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A direction of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the upstream.
    ToUpstream,
    /// From the upstream to the client.
    ToClient,
}

/// A stream that a relay moves bytes to and from.
pub trait RelayStream: AsyncRead + AsyncWrite + Unpin {
    /// The socket, if the stream's bytes are sent on it unchanged, so that the kernel can move them (splice).
    fn bare(&self) -> Option<&TcpStream>;

    /// The pending error of the socket (`SO_ERROR`).
    fn take_error(&self) -> Option<io::Error>;

    /// Lets the socket report a dead peer (keepalive, user timeout).
    fn detect_dead_peer(&self);
}

/// Observes the bytes that a relay moves, and may stop it.
pub trait RelayTap {
    /// Called with bytes that were read.
    fn see(&mut self, direction: Direction, bytes: &[u8]);

    /// How many of the next bytes need not be shown to [`see`](RelayTap::see).
    fn unseen(&self, direction: Direction) -> usize;

    /// Called with a number of bytes that were moved without being shown.
    fn pass(&mut self, direction: Direction, count: usize);

    /// Called whenever no bytes can be moved. Returns true once, when the connection is no longer young, so that the
    /// detection of a dead upstream has to be switched on. The task is woken at that time.
    fn has_grown(&mut self, cx: &mut Context<'_>) -> bool;

    /// Called whenever no bytes can be moved; ready if the relay should stop. `clear` means that all bytes read are
    /// written and flushed, and that neither stream has more to read. A stop while `clear` is false loses bytes in
    /// transit.
    fn poll_stop(&mut self, cx: &mut Context<'_>, clear: bool) -> Poll<Stop>;
}

/// Why a tap stopped a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// At a message boundary.
    Boundary,
    /// No message boundary was reached in time.
    Overdue,
    /// The proxy stops.
    Forced,
}

/// The result of a relay.
#[derive(Debug)]
pub enum Relayed {
    /// Both streams have ended, or one has failed.
    Ended(RelayEnds),
    /// The tap stopped it; both streams are still open.
    Stopped(Stop),
}

/// How the streams of a relay have ended.
#[derive(Debug)]
pub struct RelayEnds {
    /// How the client's stream ended.
    pub client: End,
    /// How the upstream's stream ended.
    pub upstream: End,
}

/// How one stream ended.
#[derive(Debug)]
pub enum End {
    /// An end of stream was received.
    Closed,
    /// The TCP connection was closed without `close_notify`. mongod never sends `close_notify`.
    Truncated,
    /// Still open when the other stream ended the relay.
    Open,
    /// Timed out: 60 s of silence after the other stream ended, or 150 s with unwritten bytes.
    Idle,
    /// The stream failed.
    Failed(io::Error),
}

impl End {
    /// A stream that ended by itself stays ended, even if a later write to it failed.
    pub(super) fn or_failure(self, failure: Option<io::Error>) -> End {
        match (self, failure) {
            (End::Open | End::Idle, Some(error)) => End::Failed(error),
            (end, _) => end,
        }
    }
}
