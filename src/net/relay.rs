//! Bytes both ways between two streams, exactly, until both have ended.

mod direction;
mod pipe;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::{HALF_CLOSED_IDLE, STALLED};
use direction::Direction;

/// One of the two ways through a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// From the client to the upstream.
    Up,
    /// From the upstream to the client.
    Down,
}

/// What a relay is between.
pub trait Side: AsyncRead + AsyncWrite + Unpin {
    /// The socket, where its bytes are the stream's own: then the kernel may move them by itself.
    fn bare(&self) -> Option<&TcpStream>;
}

/// Looks at what a relay moves, and may stop it.
pub trait Tap {
    /// This has come.
    fn see(&mut self, bound: Bound, bytes: &[u8]);

    /// How many of the next bytes need not be seen.
    fn unseen(&self, bound: Bound) -> usize;

    /// So many have passed unseen.
    fn pass(&mut self, bound: Bound, count: usize);

    /// Asked whenever nothing can be moved. `clear`: all that was read has been written and flushed, and neither stream
    /// has more to read. A stop when it is not clear cuts what is under way.
    fn poll_stop(&mut self, cx: &mut Context<'_>, clear: bool) -> Poll<Stop>;
}

/// Why a tap has stopped a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A good moment has come.
    Boundary,
    /// No good moment has come in time.
    Overdue,
    /// Everything is to end.
    Forced,
}

/// How a relay came to its end.
#[derive(Debug)]
pub enum Relayed {
    /// Both streams have ended, or one has failed.
    Ended(Ended),
    /// The tap has stopped it; both streams are as they were.
    Stopped(Stop),
}

/// How the streams of a relay have ended.
#[derive(Debug)]
pub struct Ended {
    /// How the client's stream ended.
    pub client: End,
    /// How the upstream's stream ended.
    pub upstream: End,
}

/// How one stream ended.
#[derive(Debug)]
pub enum End {
    /// With an end of stream.
    Closed,
    /// With an end of the connection that TLS was not told of: no `close_notify`, as mongod never sends one.
    Truncated,
    /// It did not: the other's end was the relay's.
    Open,
    /// It did not end in time: a minute of silence after the other had, or 150 s with bytes waiting.
    Idle,
    /// It failed.
    Failed(io::Error),
}

impl End {
    /// A stream that had ended by itself does not fail any more, whatever became of what was still sent to it.
    fn or_failure(self, failure: Option<io::Error>) -> End {
        match (self, failure) {
            (End::Open | End::Idle, Some(error)) => End::Failed(error),
            (end, _) => end,
        }
    }
}

/// Relays until both directions have ended. A half that has ended is passed on as such; the other may go on, and
/// may be silent for at most 60 s. A stream that takes none of what waits for it for 150 s is given up, as TCP gives
/// up a peer that does not acknowledge: a Unix socket would be waited for without end. A stream that fails ends the
/// relay at once: it can neither send nor take. The tap sees every byte that it has to, and may stop the relay between
/// two. A socket is told of the second end by its close, which is the caller's.
///
/// It holds both streams, and is most of what an open connection is: what grows here is multiplied by all of them.
#[derive(Debug)]
#[must_use]
pub struct Relay<C, U, T> {
    /// The client's stream.
    pub client: C,
    /// The upstream's.
    pub upstream: U,
    /// Who looks on.
    pub tap: T,
    up: Direction,
    down: Direction,
    patience: Patience,
}

impl<C, U, T> Relay<C, U, T> {
    /// One that has moved nothing yet.
    pub fn new(client: C, upstream: U, tap: T) -> Relay<C, U, T> {
        let (up, down) = (Direction::new(Bound::Up), Direction::new(Bound::Down));
        Relay { client, upstream, tap, up, down, patience: Patience::default() }
    }

    fn ended(&mut self, timed_out: bool) -> Poll<Relayed> {
        let (client_end, upstream_failure) = self.up.ends(timed_out);
        let (upstream_end, client_failure) = self.down.ends(timed_out);
        Poll::Ready(Relayed::Ended(Ended {
            client: client_end.or_failure(client_failure),
            upstream: upstream_end.or_failure(upstream_failure),
        }))
    }
}

impl<C: Side, U: Side, T: Tap + Unpin> Future for Relay<C, U, T> {
    type Output = Relayed;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Relayed> {
        let this = self.get_mut();
        let Relay { client, upstream, tap, up, down, patience } = this;
        let up_over = up.poll(cx, client, upstream, down, tap).is_ready();
        let down_over = down.poll(cx, upstream, client, up, tap).is_ready();
        let (clear, stuck) = (up.is_clear() && down.is_clear(), up.is_stuck() || down.is_stuck());
        let stirred = up.take_stirred() | down.take_stirred();
        if (up_over && down_over) || up.source_failed() || down.source_failed() {
            return this.ended(false);
        }
        if let Poll::Ready(stop) = tap.poll_stop(cx, clear) {
            return Poll::Ready(Relayed::Stopped(stop));
        }
        let limit = if up_over || down_over {
            Limit::HalfClosed
        } else if stuck {
            Limit::Stalled
        } else {
            // Its timer goes: most of its life, a connection waits for nothing but its peers.
            patience.running = None;
            return Poll::Pending;
        };
        match patience.poll(cx, limit, stirred) {
            Poll::Ready(()) => this.ended(true),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// The timer of a relay that cannot wait for ever, while it cannot, and the limit that is running.
#[derive(Debug, Default)]
struct Patience {
    running: Option<(Limit, Pin<Box<Sleep>>)>,
}

/// Why a relay cannot wait for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    HalfClosed,
    Stalled,
}

impl Limit {
    fn span(self) -> Duration {
        match self {
            Limit::HalfClosed => HALF_CLOSED_IDLE,
            Limit::Stalled => STALLED,
        }
    }
}

impl Patience {
    fn poll(&mut self, cx: &mut Context<'_>, limit: Limit, stirred: bool) -> Poll<()> {
        let (running, timer) = self.running.get_or_insert_with(|| (limit, Box::pin(sleep(limit.span()))));
        if stirred || *running != limit {
            *running = limit;
            timer.as_mut().reset(Instant::now() + limit.span());
        }
        timer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests;
