//! Bounds the answers whose cost grows with connections and clients: how many are made at a time, how many requests
//! wait, and how many bytes of answers wait to be sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::change::ChangeError;
use crate::limits::{READERS_AT_A_TIME, READERS_BYTES, READERS_WAITING};

/// The bound on large answers.
#[derive(Debug)]
pub(crate) struct AnswerLimit {
    listings: AnswerQueue,
    summaries: AnswerQueue,
    /// Kibibytes of answers that are held in memory until they are sent.
    held: Arc<Semaphore>,
}

/// How large an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerSize {
    /// The answer has a row for each connection or client.
    Listing,
    /// The answer has only the numbers of connections and clients.
    Summary,
}

/// The queue for answers of one size. Each size has its own, so that summaries for monitoring do not wait for listings.
#[derive(Debug)]
struct AnswerQueue {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Permission to make one answer.
#[derive(Debug)]
pub(crate) struct AnswerPermit(#[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>);

impl Default for AnswerLimit {
    fn default() -> AnswerLimit {
        let queue =
            || AnswerQueue { permits: Arc::new(Semaphore::new(READERS_AT_A_TIME)), waiting: AtomicUsize::new(0) };
        AnswerLimit { listings: queue(), summaries: queue(), held: Arc::new(Semaphore::new(READERS_BYTES / 1024)) }
    }
}

impl AnswerLimit {
    fn queue(&self, size: AnswerSize) -> &AnswerQueue {
        match size {
            AnswerSize::Listing => &self.listings,
            AnswerSize::Summary => &self.summaries,
        }
    }

    /// Waits for a permit, however many requests wait already. For callers with another bound, such as mode changes.
    pub(super) async fn acquire(&self, size: AnswerSize) -> AnswerPermit {
        // The semaphore is never closed.
        AnswerPermit(Arc::clone(&self.queue(size).permits).acquire_owned().await.ok())
    }

    /// Waits for a permit, unless too many requests wait already.
    ///
    /// # Errors
    /// [`ChangeError::Busy`]
    pub(super) async fn acquire_if_few(&self, size: AnswerSize) -> Result<AnswerPermit, ChangeError> {
        let waiting = &self.queue(size).waiting;
        let guard = WaitGuard(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= READERS_WAITING {
            return Err(ChangeError::Busy);
        }
        let turn = self.acquire(size).await;
        drop(guard);
        Ok(turn)
    }

    /// Returns a body whose size counts as held until the body is sent.
    ///
    /// # Errors
    /// [`ChangeError::Busy`] if the answers that are being sent hold too many bytes already.
    pub(super) fn hold(&self, body: Vec<u8>) -> Result<Bytes, ChangeError> {
        let kibibytes = u32::try_from(body.len() / 1024 + 1).map_err(|_| ChangeError::Busy)?;
        let held = Arc::clone(&self.held).try_acquire_many_owned(kibibytes).map_err(|_| ChangeError::Busy)?;
        Ok(Bytes::from_owner(HeldBody { body, _held: held }))
    }
}

/// Counts a waiting request until it is dropped.
struct WaitGuard<'a>(&'a AtomicUsize);

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct HeldBody {
    body: Vec<u8>,
    _held: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for HeldBody {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::{AnswerLimit, AnswerSize};
    use crate::control::change::ChangeError;
    use crate::limits::{READERS_BYTES, READERS_WAITING};

    #[tokio::test]
    async fn requests_wait_up_to_a_bound() {
        let limit = AnswerLimit::default();
        let turn = limit.acquire_if_few(AnswerSize::Listing).await.unwrap();
        let mut waiting: Vec<_> =
            (0..READERS_WAITING).map(|_| Box::pin(limit.acquire_if_few(AnswerSize::Listing))).collect();
        for one in &mut waiting {
            assert!(futures_poll(one).is_none());
        }
        assert!(matches!(limit.acquire_if_few(AnswerSize::Listing).await, Err(ChangeError::Busy)));
        assert!(limit.acquire_if_few(AnswerSize::Summary).await.is_ok(), "the other queue is free");
        // A request that stops waiting makes room for another to wait.
        waiting.pop();
        let mut next = Box::pin(limit.acquire_if_few(AnswerSize::Listing));
        assert!(futures_poll(&mut next).is_none());
        drop(turn);
        assert!(waiting.remove(0).await.is_ok());
    }

    fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn answers_under_way_hold_a_bounded_number_of_bytes() {
        let limit = AnswerLimit::default();
        let half = || limit.hold(vec![0; READERS_BYTES / 2 - 1024]);
        let (first, second) = (half().unwrap(), half().unwrap());
        assert!(matches!(limit.hold(vec![0; 4096]), Err(ChangeError::Busy)));
        let part = first.slice(..10);
        drop(first);
        assert!(limit.hold(vec![0; 4096]).is_err(), "a part of it is not sent yet");
        drop(part);
        assert!(limit.hold(vec![0; 4096]).is_ok());
        drop(second);
    }
}
