//! A wish that a connection end by itself at the next good moment, and the way in which it is told.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use tokio::time::Instant;

/// One connection's. The control plane asks, the relay looks.
#[derive(Debug, Default)]
pub struct RecycleSignal {
    /// Boxed: of most connections nothing is ever wished.
    wish: Mutex<Option<Box<RecycleRequest>>>,
    /// Grows with every asking: what the relay looks at, without a lock.
    asked: AtomicU32,
    waker: AtomicWaker,
}

/// What is wished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecycleRequest {
    /// When it was first wished.
    pub since: Instant,
    /// When the connection is to be cut wherever it is.
    pub cut_at: Option<Instant>,
}

/// The relay's side of it: what it has seen.
#[derive(Debug, Default)]
pub struct RecycleRegistration {
    registered: bool,
    asked: u32,
}

impl RecycleSignal {
    /// Asks, or asks again: a grace may be added or shortened, and is counted from now.
    pub fn ask(&self, grace: Option<Duration>) {
        let now = Instant::now();
        let cut_at = grace.map(|grace| now + grace);
        let mut wish = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        let before = wish.as_deref().copied().unwrap_or(RecycleRequest { since: now, cut_at: None });
        let sooner = match (before.cut_at, cut_at) {
            (Some(before), Some(now)) => Some(before.min(now)),
            (before, now) => before.or(now),
        };
        *wish = Some(Box::new(RecycleRequest { cut_at: sooner, ..before }));
        drop(wish);
        self.asked.fetch_add(1, Ordering::Release);
        self.waker.wake();
    }

    /// Whether it was asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire) > 0
    }

    /// The wish, once there is one; until then, the task is woken when there is. To be called by one task alone. Costs a
    /// load while nothing is asked.
    pub fn poll(&self, cx: &mut Context<'_>, seen: &mut RecycleRegistration) -> Poll<RecycleRequest> {
        let asked = self.asked.load(Ordering::Acquire);
        if !seen.registered || asked != seen.asked {
            self.waker.register(cx.waker());
            seen.registered = true;
            // Asked again after this, the task is woken.
            seen.asked = self.asked.load(Ordering::Acquire);
        }
        if seen.asked == 0 {
            return Poll::Pending;
        }
        let wish = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        wish.as_deref().map_or(Poll::Pending, |wish| Poll::Ready(*wish))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::time::Duration;

    use super::{RecycleRegistration, RecycleSignal};

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_woken_and_a_grace_only_shrinks() {
        let recycling = Arc::new(RecycleSignal::default());
        let waiting = Arc::clone(&recycling);
        let first = tokio::spawn(async move {
            let mut seen = RecycleRegistration::default();
            let wish = poll_fn(|cx| waiting.poll(cx, &mut seen)).await;
            (wish, poll_fn(|cx| waiting.poll(cx, &mut seen)).await)
        });
        tokio::task::yield_now().await;
        assert!(!recycling.is_asked());
        recycling.ask(None);
        let (wish, again) = first.await.unwrap();
        assert_eq!((wish, wish.cut_at), (again, None));
        recycling.ask(Some(Duration::from_secs(9)));
        recycling.ask(Some(Duration::from_secs(5)));
        recycling.ask(Some(Duration::from_secs(7)));
        let mut seen = RecycleRegistration::default();
        let wish = poll_fn(|cx| recycling.poll(cx, &mut seen)).await;
        assert_eq!(wish.cut_at, Some(wish.since + Duration::from_secs(5)));
    }
}
