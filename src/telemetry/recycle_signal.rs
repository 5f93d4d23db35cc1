//! Requests to recycle a connection, that is, to close it at the next message boundary.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use tokio::time::Instant;

/// The recycle request of one connection. The control plane sets it, and the relay polls it.
#[derive(Debug, Default)]
pub struct RecycleSignal {
    /// Boxed, because most connections are never recycled.
    request: Mutex<Option<Box<RecycleRequest>>>,
    /// Incremented by every request, so that the relay can poll without a lock.
    requests: AtomicU32,
    waker: AtomicWaker,
}

/// A request to recycle a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecycleRequest {
    /// When the first request was made.
    pub since: Instant,
    /// When the connection is closed even if it is within a message.
    pub cut_at: Option<Instant>,
}

/// The state of the task that polls a [`RecycleSignal`].
#[derive(Debug, Default)]
pub struct RecycleRegistration {
    registered: bool,
    requests: u32,
}

impl RecycleSignal {
    /// Requests a recycle, or changes the request: a grace period can be added or shortened, and starts now.
    pub fn request(&self, grace: Option<Duration>) {
        let now = Instant::now();
        let cut_at = grace.map(|grace| now + grace);
        let mut request = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        let before = request.as_deref().copied().unwrap_or(RecycleRequest { since: now, cut_at: None });
        let sooner = match (before.cut_at, cut_at) {
            (Some(before), Some(now)) => Some(before.min(now)),
            (before, now) => before.or(now),
        };
        *request = Some(Box::new(RecycleRequest { cut_at: sooner, ..before }));
        drop(request);
        self.requests.fetch_add(1, Ordering::Release);
        self.waker.wake();
    }

    /// Forgets the task that polled this, which has ended.
    pub(super) fn forget_task(&self) {
        self.waker.take();
    }

    /// Whether a recycle was requested.
    pub fn is_requested(&self) -> bool {
        self.requests.load(Ordering::Acquire) > 0
    }

    /// Becomes ready once there is a request; returns it. Must be polled by a single task. While there is no request, a
    /// poll costs one atomic load.
    pub fn poll(&self, cx: &mut Context<'_>, registration: &mut RecycleRegistration) -> Poll<RecycleRequest> {
        let requests = self.requests.load(Ordering::Acquire);
        if !registration.registered || requests != registration.requests {
            self.waker.register(cx.waker());
            registration.registered = true;
            // A request made after this load wakes the task.
            registration.requests = self.requests.load(Ordering::Acquire);
        }
        if registration.requests == 0 {
            return Poll::Pending;
        }
        let request = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        request.as_deref().map_or(Poll::Pending, |request| Poll::Ready(*request))
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
        let signal = Arc::new(RecycleSignal::default());
        let waiting = Arc::clone(&signal);
        let first = tokio::spawn(async move {
            let mut registration = RecycleRegistration::default();
            let request = poll_fn(|cx| waiting.poll(cx, &mut registration)).await;
            (request, poll_fn(|cx| waiting.poll(cx, &mut registration)).await)
        });
        tokio::task::yield_now().await;
        assert!(!signal.is_requested());
        signal.request(None);
        let (request, again) = first.await.unwrap();
        assert_eq!((request, request.cut_at), (again, None));
        signal.request(Some(Duration::from_secs(9)));
        signal.request(Some(Duration::from_secs(5)));
        signal.request(Some(Duration::from_secs(7)));
        let mut registration = RecycleRegistration::default();
        let request = poll_fn(|cx| signal.poll(cx, &mut registration)).await;
        assert_eq!(request.cut_at, Some(request.since + Duration::from_secs(5)));
    }
}
