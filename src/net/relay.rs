//! Bytes both ways between two streams, exactly, until both have ended.

mod direction;
mod pipe;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::{HALF_CLOSED_IDLE, STALLED};
use direction::Direction;

/// Bytes moved so far; readable while the relay runs.
#[derive(Debug, Default)]
pub struct Counters {
    /// From the client to the upstream.
    pub inbound: AtomicU64,
    /// From the upstream to the client.
    pub outbound: AtomicU64,
}

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
pub async fn relay<C, U, T>(client: &mut C, upstream: &mut U, counters: &Counters, tap: &mut T) -> Relayed
where
    C: Side,
    U: Side,
    T: Tap,
{
    let mut up = Direction::new(Bound::Up, &counters.inbound);
    let mut down = Direction::new(Bound::Down, &counters.outbound);
    let mut patience = Patience::default();
    let over = poll_fn(|cx| {
        let before = (up.progress(), down.progress());
        let up_over = up.poll(cx, client, upstream, &down, tap).is_ready();
        let down_over = down.poll(cx, upstream, client, &up, tap).is_ready();
        if (up_over && down_over) || up.source_failed() || down.source_failed() {
            return Poll::Ready(Over::Ended);
        }
        if let Poll::Ready(stop) = tap.poll_stop(cx, up.is_clear() && down.is_clear()) {
            return Poll::Ready(Over::Stopped(stop));
        }
        let limit = if up_over || down_over {
            HALF_CLOSED_IDLE
        } else if up.is_stuck() || down.is_stuck() {
            STALLED
        } else {
            patience.running = None;
            return Poll::Pending;
        };
        patience.poll(cx, limit, before != (up.progress(), down.progress())).map(|()| Over::TimedOut)
    })
    .await;
    let timed_out = match over {
        Over::Stopped(stop) => return Relayed::Stopped(stop),
        Over::Ended => false,
        Over::TimedOut => true,
    };
    let (client_end, upstream_failure) = up.ends(timed_out);
    let (upstream_end, client_failure) = down.ends(timed_out);
    Relayed::Ended(Ended {
        client: client_end.or_failure(client_failure),
        upstream: upstream_end.or_failure(upstream_failure),
    })
}

enum Over {
    Ended,
    TimedOut,
    Stopped(Stop),
}

/// The timer of a relay that cannot wait for ever. Made when it is first needed, which is seldom.
#[derive(Default)]
struct Patience {
    timer: Option<Pin<Box<Sleep>>>,
    /// The limit that is running, if one is.
    running: Option<Duration>,
}

impl Patience {
    fn poll(&mut self, cx: &mut Context<'_>, limit: Duration, progress: bool) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if progress || self.running != Some(limit) {
            self.running = Some(limit);
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests;
