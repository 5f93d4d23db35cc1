//! Memory bounds for peers that are not authenticated yet: a bound for each handshake, and one for all of them
//! together.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::limits::{CLIENT_FLIGHT, CLIENT_HELLO, HANDSHAKES_HELD, SERVER_FLIGHT};

/// Budget of handshakes with clients.
pub(crate) static CLIENTS: HandshakeBudget = HandshakeBudget::new(HANDSHAKES_HELD);
/// Budget of handshakes with servers.
pub(crate) static SERVERS: HandshakeBudget = HandshakeBudget::new(HANDSHAKES_HELD);

/// Bytes held by handshakes in progress: `[with clients, with servers]`.
pub fn handshake_bytes() -> [usize; 2] {
    [CLIENTS.held(), SERVERS.held()]
}

/// The memory budget of all handshakes in progress. When it is exceeded, the handshake that holds the most bytes is
/// aborted; of several that hold the same number, the oldest.
#[derive(Debug)]
pub(crate) struct HandshakeBudget {
    most: usize,
    state: Mutex<BudgetState>,
}

#[derive(Debug)]
struct BudgetState {
    last_id: u64,
    held: usize,
    /// Bytes held by aborted handshakes that have not been released yet.
    releasing: usize,
    /// Keyed by the number of bytes held, then by age. A handshake that holds no bytes has no entry.
    handshakes: BTreeMap<(usize, Reverse<u64>), oneshot::Sender<()>>,
}

/// One handshake's share of the budget, returned when it is dropped.
#[derive(Debug)]
struct BudgetShare {
    budget: &'static HandshakeBudget,
    id: u64,
    bytes: usize,
    aborted: Option<oneshot::Receiver<()>>,
}

/// Counts the bytes that one handshake has received. Complete messages count too, since rustls keeps some of them for
/// the transcript.
#[derive(Debug)]
pub(crate) struct HandshakeQuota {
    /// Limits before and after our first answer, in bytes.
    limits: [usize; 2],
    answered: bool,
    received: usize,
    share: Option<BudgetShare>,
}

/// The peer has sent more than `limit` bytes before its handshake was complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the handshake exceeded {limit} bytes")]
pub(crate) struct HandshakeTooLarge {
    pub(crate) limit: usize,
}

impl From<HandshakeTooLarge> for io::Error {
    fn from(error: HandshakeTooLarge) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

impl HandshakeQuota {
    pub(crate) fn of_client(budget: Option<&'static HandshakeBudget>) -> HandshakeQuota {
        HandshakeQuota::new([CLIENT_HELLO, CLIENT_FLIGHT], budget)
    }

    pub(crate) fn of_server(budget: Option<&'static HandshakeBudget>) -> HandshakeQuota {
        HandshakeQuota::new([SERVER_FLIGHT, SERVER_FLIGHT], budget)
    }

    fn new(limits: [usize; 2], budget: Option<&'static HandshakeBudget>) -> HandshakeQuota {
        HandshakeQuota { limits, answered: false, received: 0, share: budget.map(HandshakeBudget::share) }
    }

    /// Returns how many more bytes may be received. Pending while aborted handshakes hold too many bytes, so that their
    /// tasks run first and release the bytes.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<usize, HandshakeTooLarge>> {
        let limit = self.limits[usize::from(self.answered)];
        let room = limit.saturating_sub(self.received);
        if room == 0 {
            return Poll::Ready(Err(HandshakeTooLarge { limit }));
        }
        if self.share.as_ref().is_some_and(|share| share.budget.is_over()) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(room))
    }

    /// Whether the handshake counts towards a budget of all handshakes.
    pub(crate) fn is_budgeted(&self) -> bool {
        self.share.is_some()
    }

    /// Counts received bytes. Our first answer resets the count.
    pub(crate) fn received(&mut self, count: usize, answered: bool) {
        self.received += count;
        if let Some(share) = &mut self.share {
            share.grow(count);
        }
        if answered && !self.answered {
            (self.answered, self.received) = (true, 0);
        }
    }

    /// Becomes ready once this handshake must be aborted because it holds the most bytes; returns their number.
    pub(crate) fn poll_aborted(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let Some(share) = &mut self.share else { return Poll::Pending };
        let Some(aborted) = &mut share.aborted else { return Poll::Pending };
        Pin::new(aborted).poll(cx).map(|_| share.bytes)
    }
}

impl HandshakeBudget {
    const fn new(most: usize) -> HandshakeBudget {
        HandshakeBudget {
            most,
            state: Mutex::new(BudgetState { last_id: 0, held: 0, releasing: 0, handshakes: BTreeMap::new() }),
        }
    }

    fn held(&self) -> usize {
        let state = self.state();
        state.held + state.releasing
    }

    fn is_over(&self) -> bool {
        self.held() > self.most
    }

    fn share(&'static self) -> BudgetShare {
        let mut state = self.state();
        state.last_id += 1;
        BudgetShare { budget: self, id: state.last_id, bytes: 0, aborted: None }
    }

    fn state(&self) -> MutexGuard<'_, BudgetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BudgetShare {
    fn grow(&mut self, count: usize) {
        let mut state = self.budget.state();
        let sender = match &self.aborted {
            None => {
                let (sender, receiver) = oneshot::channel();
                self.aborted = Some(receiver);
                Some(sender)
            }
            // `None` if the handshake was aborted in the meantime.
            Some(_) => state.remove(self.bytes, self.id),
        };
        let Some(sender) = sender else { return };
        self.bytes += count;
        state.held += self.bytes;
        state.handshakes.insert((self.bytes, Reverse(self.id)), sender);
        while state.held > self.budget.most
            && let Some(((bytes, _), sender)) = state.handshakes.pop_last()
        {
            state.held -= bytes;
            state.releasing += bytes;
            // This fails only if the share is being dropped; the drop waits for this lock.
            let _ = sender.send(());
        }
    }
}

impl BudgetState {
    fn remove(&mut self, bytes: usize, id: u64) -> Option<oneshot::Sender<()>> {
        let sender = self.handshakes.remove(&(bytes, Reverse(id)))?;
        self.held -= bytes;
        Some(sender)
    }
}

impl Drop for BudgetShare {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        if state.remove(self.bytes, self.id).is_none() && self.aborted.is_some() {
            state.releasing -= self.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::{HandshakeBudget, HandshakeQuota, HandshakeTooLarge};
    use crate::limits::{CLIENT_FLIGHT, CLIENT_HELLO};

    fn is_aborted(intake: &mut HandshakeQuota) -> bool {
        intake.poll_aborted(&mut Context::from_waker(Waker::noop())) != Poll::Pending
    }

    #[test]
    fn a_hello_and_what_follows_have_bounds_of_their_own() {
        let mut intake = HandshakeQuota::of_client(None);
        let room = |intake: &HandshakeQuota| intake.poll_room(&mut Context::from_waker(Waker::noop()));
        intake.received(CLIENT_HELLO - 1, false);
        assert_eq!(room(&intake), Poll::Ready(Ok(1)));
        intake.received(1, false);
        assert_eq!(room(&intake), Poll::Ready(Err(HandshakeTooLarge { limit: CLIENT_HELLO })));
        intake.received(0, true);
        assert_eq!(room(&intake), Poll::Ready(Ok(CLIENT_FLIGHT)));
        // Later answers do not reset the count.
        intake.received(CLIENT_FLIGHT, true);
        assert_eq!(room(&intake), Poll::Ready(Err(HandshakeTooLarge { limit: CLIENT_FLIGHT })));
    }

    #[test]
    fn beyond_the_budget_the_largest_is_aborted_and_of_equals_the_oldest() {
        static BUDGET: HandshakeBudget = HandshakeBudget::new(100);
        let mut all: Vec<_> = (0..4).map(|_| HandshakeQuota::of_client(Some(&BUDGET))).collect();
        for (one, count) in [(0, 10), (1, 40), (2, 30), (2, 10), (3, 10)] {
            all[one].received(count, false);
        }
        assert!(!all.iter_mut().any(is_aborted) && BUDGET.held() == 100);
        all[0].received(1, false);
        assert_eq!(all.iter_mut().map(is_aborted).collect::<Vec<_>>(), [false, true, false, false]);
        // No handshake receives more bytes until the aborted one has released its own.
        let room = |intake: &HandshakeQuota| intake.poll_room(&mut Context::from_waker(Waker::noop()));
        assert_eq!((BUDGET.held(), room(&all[0])), (101, Poll::Pending));
        drop(all.remove(1));
        assert_eq!((BUDGET.held(), room(&all[0]).is_ready()), (61, true));
        // A handshake that holds more than all others together is itself aborted.
        all[2].received(90, false);
        assert!(is_aborted(&mut all[2]) && !is_aborted(&mut all[1]));
        all.clear();
        assert_eq!(BUDGET.held(), 0);
    }
}
