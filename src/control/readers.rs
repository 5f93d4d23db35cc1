//! Answers whose cost grows with connections and clients: made beside the control plane's thread, one of a kind at a
//! time, with a bound on how many wait for their turn and on the memory that those under way hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::change::ChangeError;
use super::controller::{Controller, blocking};
use crate::limits::{READERS_AT_A_TIME, READERS_BYTES, READERS_WAITING};

/// Who reads, and in what order.
#[derive(Debug)]
pub(crate) struct Readers {
    listings: Lane,
    summaries: Lane,
    /// Kibibytes of answers that are not sent yet.
    held: Arc<Semaphore>,
}

/// How large an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// A row for each connection or client.
    Listing,
    /// Their numbers.
    Summary,
}

/// Answers of one size. A monitoring system does not wait for those who list all connections.
#[derive(Debug)]
struct Lane {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// The right to make one answer.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>);

impl Default for Readers {
    fn default() -> Readers {
        let lane = || Lane { turns: Arc::new(Semaphore::new(READERS_AT_A_TIME)), waiting: AtomicUsize::new(0) };
        Readers { listings: lane(), summaries: lane(), held: Arc::new(Semaphore::new(READERS_BYTES / 1024)) }
    }
}

impl Readers {
    fn lane(&self, size: Size) -> &Lane {
        match size {
            Size::Listing => &self.listings,
            Size::Summary => &self.summaries,
        }
    }

    /// Waits for a turn, however many wait already: for changes, and for those who are bounded otherwise.
    pub(crate) async fn turn(&self, size: Size) -> Turn {
        // It is never closed.
        Turn(Arc::clone(&self.lane(size).turns).acquire_owned().await.ok())
    }

    /// Waits for a turn, unless too many do already.
    ///
    /// # Errors
    /// [`ChangeError::Busy`]
    async fn turn_if_few(&self, size: Size) -> Result<Turn, ChangeError> {
        let waiting = &self.lane(size).waiting;
        let place = Place(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= READERS_WAITING {
            return Err(ChangeError::Busy);
        }
        let turn = self.turn(size).await;
        drop(place);
        Ok(turn)
    }

    /// An answer that counts as held until it is sent.
    ///
    /// # Errors
    /// [`ChangeError::Busy`] if those under way hold too much already.
    pub(crate) fn hold(&self, body: Vec<u8>) -> Result<Bytes, ChangeError> {
        let kibibytes = u32::try_from(body.len() / 1024 + 1).map_err(|_| ChangeError::Busy)?;
        let held = Arc::clone(&self.held).try_acquire_many_owned(kibibytes).map_err(|_| ChangeError::Busy)?;
        Ok(Bytes::from_owner(Held { body, _held: held }))
    }
}

/// A place among those who wait, given back however the wait ends.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Held {
    body: Vec<u8>,
    _held: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Controller {
    /// Makes an answer beside the control plane's thread. Whoever stops waiting for it does not let another in before it
    /// is made.
    ///
    /// # Errors
    /// [`ChangeError::Busy`] if too many wait for their turn.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        size: Size,
        make: impl FnOnce(&Controller) -> T + Send + 'static,
    ) -> Result<T, ChangeError> {
        let turn = self.readers.turn_if_few(size).await?;
        let controller = Arc::clone(self);
        blocking(move || {
            let made = make(&controller);
            drop(turn);
            made
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::{Readers, Size};
    use crate::control::change::ChangeError;
    use crate::limits::{READERS_BYTES, READERS_WAITING};

    #[tokio::test]
    async fn so_many_wait_and_the_next_is_refused() {
        let readers = Readers::default();
        let turn = readers.turn_if_few(Size::Listing).await.unwrap();
        let mut waiting: Vec<_> = (0..READERS_WAITING).map(|_| Box::pin(readers.turn_if_few(Size::Listing))).collect();
        for one in &mut waiting {
            assert!(futures_poll(one).is_none());
        }
        assert!(matches!(readers.turn_if_few(Size::Listing).await, Err(ChangeError::Busy)));
        assert!(readers.turn_if_few(Size::Summary).await.is_ok(), "the other lane is free");
        // One that leaves makes room for another.
        waiting.pop();
        let mut next = Box::pin(readers.turn_if_few(Size::Listing));
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
        let readers = Readers::default();
        let half = || readers.hold(vec![0; READERS_BYTES / 2 - 1024]);
        let (first, second) = (half().unwrap(), half().unwrap());
        assert!(matches!(readers.hold(vec![0; 4096]), Err(ChangeError::Busy)));
        let part = first.slice(..10);
        drop(first);
        assert!(readers.hold(vec![0; 4096]).is_err(), "a part of it is not sent yet");
        drop(part);
        assert!(readers.hold(vec![0; 4096]).is_ok());
        drop(second);
    }
}
