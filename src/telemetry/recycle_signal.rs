//! Requests to recycle a connection, that is, to close it at the next message boundary.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use tokio::time::Instant;

use crate::limits::{DRAIN_ANY_BOUNDARY, RECYCLE_ANY_BOUNDARY, RECYCLE_TRANSACTION};

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
    /// When the connection is closed even if it is within a message; `None`: never.
    pub cut_at: Option<Instant>,
    /// How soon a connection that is never idle is closed.
    pub pace: RecyclePace,
}

/// How soon a connection that is never idle is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecyclePace {
    /// The client is to connect again under the present policy. This is not urgent.
    Recycle,
    /// The proxy stops.
    Drain {
        /// Whether the connection is closed only when it is idle, because its client may see an error otherwise. From
        /// `last` on, it is closed at any boundary.
        idle_only: bool,
        /// From this time on, the connection is closed at any boundary, because it is cut off shortly afterwards.
        /// `None`: it is never cut off.
        last: Option<Instant>,
    },
}

impl RecycleRequest {
    /// From when on the connection is closed at any boundary; `None`: never. `delicate`: whether its client would
    /// probably see an error, or lose a request, if the connection is closed while it is busy.
    pub fn any_boundary(&self, delicate: bool) -> Option<Instant> {
        match self.pace {
            RecyclePace::Recycle if delicate => Some(self.since + RECYCLE_TRANSACTION),
            RecyclePace::Recycle => Some(self.since + RECYCLE_ANY_BOUNDARY),
            RecyclePace::Drain { idle_only: false, .. } if !delicate => Some(self.since + DRAIN_ANY_BOUNDARY),
            RecyclePace::Drain { last, .. } => last,
        }
    }

    /// From when on the connection is closed at any boundary even within a transaction; `None`: never.
    pub fn last_boundary(&self) -> Option<Instant> {
        match self.pace {
            RecyclePace::Recycle => None,
            RecyclePace::Drain { last, .. } => last,
        }
    }
}

/// The state of the task that polls a [`RecycleSignal`].
#[derive(Debug, Default)]
pub struct RecycleRegistration {
    registered: bool,
    requests: u32,
}

impl RecycleSignal {
    /// Requests a recycle. A repeated request can add a grace period or shorten it, but not extend it. The period
    /// counts from now.
    pub fn request(&self, grace: Option<Duration>) {
        self.ask(grace, RecyclePace::Recycle);
    }

    /// Requests the end of the connection because the proxy stops. Replaces the pace of an earlier request.
    pub fn drain(&self, idle_only: bool, last: Option<Instant>) {
        self.ask(None, RecyclePace::Drain { idle_only, last });
    }

    /// Whether the request in force is one of a stop.
    pub fn is_draining(&self) -> bool {
        let request = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        request.as_deref().is_some_and(|request| matches!(request.pace, RecyclePace::Drain { .. }))
    }

    fn ask(&self, grace: Option<Duration>, pace: RecyclePace) {
        let now = Instant::now();
        let cut_at = grace.map(|grace| now + grace);
        let mut request = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        let before = request.as_deref().copied().unwrap_or(RecycleRequest { since: now, cut_at: None, pace });
        let sooner = match (before.cut_at, cut_at) {
            (Some(before), Some(now)) => Some(before.min(now)),
            (before, now) => before.or(now),
        };
        // A stop is not slowed down by a later request.
        let pace = if pace == RecyclePace::Recycle { before.pace } else { pace };
        *request = Some(Box::new(RecycleRequest { cut_at: sooner, pace, ..before }));
        drop(request);
        self.requests.fetch_add(1, Ordering::Release);
        self.waker.wake();
    }

    /// Forgets the task that has polled this signal: the task has ended.
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
