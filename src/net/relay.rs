//! Bytes both ways between two streams, exactly, until both have ended.

mod half;
mod pipe;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::{HALF_CLOSED_IDLE, PEER_LOOK, STALLED};
use half::HalfRelay;

/// One of the two ways through a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the upstream.
    ToUpstream,
    /// From the upstream to the client.
    ToClient,
}

/// What a relay is between.
pub trait RelayStream: AsyncRead + AsyncWrite + Unpin {
    /// The socket, where its bytes are the stream's own: then the kernel may move them by itself.
    fn bare(&self) -> Option<&TcpStream>;

    /// The error by which its connection was lost (`SO_ERROR`), if it was and nobody has been told yet.
    fn take_error(&self) -> Option<io::Error>;
}

/// Looks at what a relay moves, and may stop it.
pub trait RelayTap {
    /// This has come.
    fn see(&mut self, direction: Direction, bytes: &[u8]);

    /// How many of the next bytes need not be seen.
    fn unseen(&self, direction: Direction) -> usize;

    /// So many have passed unseen.
    fn pass(&mut self, direction: Direction, count: usize);

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
    Ended(RelayEnds),
    /// The tap has stopped it; both streams are as they were.
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
/// relay at once: it can neither send nor take. While bytes wait for one stream, the other is not read, so that its loss
/// would go unnoticed; the same holds for a stream whose end was passed on. Both are asked twice a second then. The tap sees every byte that it has to, and may stop the relay between
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
    up: HalfRelay,
    down: HalfRelay,
    idle: IdleTimer,
}

impl<C, U, T> Relay<C, U, T> {
    /// One that has moved nothing yet.
    pub fn new(client: C, upstream: U, tap: T) -> Relay<C, U, T> {
        let (up, down) = (HalfRelay::new(Direction::ToUpstream), HalfRelay::new(Direction::ToClient));
        Relay { client, upstream, tap, up, down, idle: IdleTimer::default() }
    }

    fn ended(&mut self, timed_out: bool) -> Poll<Relayed> {
        let (client_end, upstream_failure) = self.up.ends(timed_out);
        let (upstream_end, client_failure) = self.down.ends(timed_out);
        Poll::Ready(Relayed::Ended(RelayEnds {
            client: client_end.or_failure(client_failure),
            upstream: upstream_end.or_failure(upstream_failure),
        }))
    }
}

impl<C: RelayStream, U: RelayStream, T: RelayTap + Unpin> Future for Relay<C, U, T> {
    type Output = Relayed;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Relayed> {
        let this = self.get_mut();
        let Relay { client, upstream, tap, up, down, idle } = this;
        let up_over = up.poll(cx, client, upstream, down, tap).is_ready();
        let down_over = down.poll(cx, upstream, client, up, tap).is_ready();
        let (clear, stuck) = (up.is_clear() && down.is_clear(), up.is_stuck() || down.is_stuck());
        let progressed = up.take_progressed() | down.take_progressed();
        // What a lost stream had sent is still delivered, but not waited for.
        let lost = (up.has_lost_sink() && down.is_stuck()) || (down.has_lost_sink() && up.is_stuck());
        if (up_over && down_over) || up.source_failed() || down.source_failed() || lost {
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
            idle.stop();
            return Poll::Pending;
        };
        idle.run(limit, progressed);
        while let Poll::Ready(tick) = idle.poll_tick(cx) {
            let lost = [up.lose(client.take_error(), down), down.lose(upstream.take_error(), up)];
            if lost.contains(&true) {
                return this.ended(false);
            }
            if tick == Tick::Expired {
                return this.ended(true);
            }
        }
        Poll::Pending
    }
}

/// The timer of a relay that cannot wait for ever, while it cannot. Boxed: most of its life, a connection has none.
#[derive(Debug, Default)]
struct IdleTimer(Option<Box<Running>>);

#[derive(Debug)]
struct Running {
    limit: Limit,
    expires: Instant,
    /// Until the peers are to be asked for again, or the limit runs out.
    timer: Pin<Box<Sleep>>,
}

/// Why a relay cannot wait for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    HalfClosed,
    Stalled,
}

/// Why the timer has gone off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tick {
    /// It is time to ask whether the peers are still there.
    Look,
    /// The limit has run out.
    Expired,
}

impl Limit {
    fn span(self) -> Duration {
        match self {
            Limit::HalfClosed => HALF_CLOSED_IDLE,
            Limit::Stalled => STALLED,
        }
    }
}

impl IdleTimer {
    fn stop(&mut self) {
        self.0 = None;
    }

    /// Runs `limit`, from now on if it is another than before or something was moved since.
    fn run(&mut self, limit: Limit, progressed: bool) {
        match &mut self.0 {
            Some(running) if running.limit == limit && !progressed => {}
            Some(running) => (running.limit, running.expires) = (limit, Instant::now() + limit.span()),
            None => {
                let (timer, expires) = (Box::pin(sleep(PEER_LOOK)), Instant::now() + limit.span());
                self.0 = Some(Box::new(Running { limit, expires, timer }));
            }
        }
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Tick> {
        let Some(Running { expires, timer, .. }) = self.0.as_deref_mut() else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        let now = Instant::now();
        if now >= *expires {
            return Poll::Ready(Tick::Expired);
        }
        timer.as_mut().reset((*expires).min(now + PEER_LOOK));
        Poll::Ready(Tick::Look)
    }
}

#[cfg(test)]
mod tests;
