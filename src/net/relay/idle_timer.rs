//! The timer of a relay that is half closed or stalled.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::limits::{HALF_CLOSED_IDLE, PEER_LOOK, STALLED};

/// Limits the silence of a relay that is half closed or stalled. Boxed, since most connections never need it.
#[derive(Debug, Default)]
pub(super) struct IdleTimer(Option<Box<Running>>);

#[derive(Debug)]
struct Running {
    limit: Limit,
    expires: Instant,
    /// Fires when the sockets have to be checked again, or at expiry.
    timer: Pin<Box<Sleep>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    HalfClosed,
    Stalled,
}

/// Why the timer fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tick {
    /// The sockets have to be checked for errors.
    Look,
    /// The time limit was reached.
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
    #[cfg(test)]
    pub(super) fn is_running(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn stop(&mut self) {
        self.0 = None;
    }

    /// Starts the timer. Restarts it if `limit` has changed or bytes were moved since the last call.
    pub(super) fn run(&mut self, limit: Limit, progressed: bool) {
        match &mut self.0 {
            Some(running) if running.limit == limit && !progressed => {}
            Some(running) => (running.limit, running.expires) = (limit, Instant::now() + limit.span()),
            None => {
                let (timer, expires) = (Box::pin(sleep(PEER_LOOK)), Instant::now() + limit.span());
                self.0 = Some(Box::new(Running { limit, expires, timer }));
            }
        }
    }

    pub(super) fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Tick> {
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
