//! Relays bytes unchanged in both directions between two streams, until both have ended.

mod bulk;
mod ends;
mod half;
mod half_state;
mod idle_timer;
mod pipe;
mod write;

use std::pin::Pin;
use std::task::{Context, Poll};

pub use ends::{Direction, End, RelayEnds, RelayStream, RelayTap, Relayed, Stop};
use half::HalfRelay;
use idle_timer::{IdleTimer, Limit, Tick};

/// Relays until both directions have ended.
///
/// - The end of one direction is passed on as a half close. The other direction may continue, and may then be silent
///   for 60 s.
/// - A stream that accepts nothing for 150 s while bytes wait for it times out, like a TCP peer that sends no
///   acknowledgements. A Unix socket has no such timeout of its own.
/// - If reading from a stream fails, the relay ends at once. If writing to a stream fails, the bytes that it has sent
///   are still delivered, as far as the other stream accepts them without waiting.
/// - While bytes wait for one stream, the other is not read, so the loss of the other would go unnoticed. The loss of a
///   stream whose end was passed on would go unnoticed too. In both cases, both sockets are checked for errors twice a
///   second.
/// - When the second direction ends, a plain TCP socket gets no half close: the caller closes it, which signals the
///   end.
///
/// This type accounts for most of the memory of an open connection.
#[derive(Debug)]
#[must_use]
pub struct Relay<C, U, T> {
    /// The stream to the client.
    pub client: C,
    /// The stream to the upstream.
    pub upstream: U,
    /// The observer of the relayed bytes.
    pub tap: T,
    up: HalfRelay,
    down: HalfRelay,
    idle: IdleTimer,
}

impl<C, U, T> Relay<C, U, T> {
    /// Creates a relay that has moved no bytes yet.
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
        // Bytes that a lost stream has sent are still delivered if the other stream accepts them without waiting.
        let lost = (up.has_lost_sink() && down.is_stuck()) || (down.has_lost_sink() && up.is_stuck());
        if (up_over && down_over) || up.source_failed() || down.source_failed() || lost {
            return this.ended(false);
        }
        if tap.has_grown(cx) {
            upstream.detect_dead_peer();
        }
        if let Poll::Ready(stop) = tap.poll_stop(cx, clear) {
            return Poll::Ready(Relayed::Stopped(stop));
        }
        let limit = if up_over || down_over {
            Limit::HalfClosed
        } else if stuck {
            Limit::Stalled
        } else {
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

#[cfg(test)]
mod tests;
