//! What peers make us hold before a handshake is over, when nobody knows who they are: bounded for each of them, and for
//! all of them together.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::limits::{CLIENT_FLIGHT, CLIENT_HELLO, HANDSHAKES_HELD, SERVER_FLIGHT};

/// Handshakes with clients of the proxy.
pub(super) static CLIENTS: Budget = Budget::new(HANDSHAKES_HELD);
/// Handshakes with servers behind it.
pub(super) static SERVERS: Budget = Budget::new(HANDSHAKES_HELD);

/// Bytes that handshakes under way hold: with clients, and with servers.
#[must_use]
pub fn handshake_bytes() -> [usize; 2] {
    [CLIENTS.held(), SERVERS.held()]
}

/// What handshakes under way may hold together. Where that is more, the one that holds the most is given up; of several
/// with as much, the oldest.
#[derive(Debug)]
pub(super) struct Budget {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last_id: u64,
    held: usize,
    /// Held by those that were given up and have not noticed yet.
    leaving: usize,
    /// By the bytes they hold; those that hold none are not here.
    handshakes: BTreeMap<(usize, Reverse<u64>), oneshot::Sender<()>>,
}

/// One handshake's part of a budget. Dropping it returns that.
#[derive(Debug)]
struct Share {
    budget: &'static Budget,
    id: u64,
    bytes: usize,
    given_up: Option<oneshot::Receiver<()>>,
}

/// How much of a handshake's bytes is taken in. All that has come counts, whether it is whole or not: the stack keeps some
/// of what it has read, such as the messages that a signature is over.
#[derive(Debug)]
pub(super) struct Intake {
    /// Before our first answer, then since that.
    limits: [usize; 2],
    answered: bool,
    received: usize,
    share: Option<Share>,
}

/// A peer has sent more than that, before its handshake was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a handshake of more than {limit} bytes")]
pub(super) struct TooLarge {
    pub(super) limit: usize,
}

impl Intake {
    /// A client's.
    pub(super) fn of_client(budget: Option<&'static Budget>) -> Intake {
        Intake::new([CLIENT_HELLO, CLIENT_FLIGHT], budget)
    }

    /// A server's, to which we speak first.
    pub(super) fn of_server(budget: Option<&'static Budget>) -> Intake {
        Intake::new([SERVER_FLIGHT, SERVER_FLIGHT], budget)
    }

    fn new(limits: [usize; 2], budget: Option<&'static Budget>) -> Intake {
        Intake { limits, answered: false, received: 0, share: budget.map(Budget::share) }
    }

    /// How much may come yet. Pending while too much is held by others that were given up: they are to run first.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<usize, TooLarge>> {
        let limit = self.limits[usize::from(self.answered)];
        let room = limit.saturating_sub(self.received);
        if room == 0 {
            return Poll::Ready(Err(TooLarge { limit }));
        }
        if self.share.as_ref().is_some_and(|share| share.budget.is_over()) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(room))
    }

    /// So many bytes have come. Those since our first answer count anew.
    pub(super) fn received(&mut self, count: usize, answered: bool) {
        self.received += count;
        if let Some(share) = &mut self.share {
            share.grow(count);
        }
        if answered && !self.answered {
            (self.answered, self.received) = (true, 0);
        }
    }

    /// Ready when this handshake is to be given up, because it holds the most of too much: with what it held.
    pub(super) fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let Some(share) = &mut self.share else { return Poll::Pending };
        let Some(given_up) = &mut share.given_up else { return Poll::Pending };
        Pin::new(given_up).poll(cx).map(|_| share.bytes)
    }
}

impl Budget {
    const fn new(most: usize) -> Budget {
        Budget { most, state: Mutex::new(State { last_id: 0, held: 0, leaving: 0, handshakes: BTreeMap::new() }) }
    }

    /// What is held now.
    fn held(&self) -> usize {
        let state = self.state();
        state.held + state.leaving
    }

    fn is_over(&self) -> bool {
        self.held() > self.most
    }

    fn share(&'static self) -> Share {
        let mut state = self.state();
        state.last_id += 1;
        Share { budget: self, id: state.last_id, bytes: 0, given_up: None }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    fn grow(&mut self, count: usize) {
        let mut state = self.budget.state();
        let sender = match &self.given_up {
            None => {
                let (sender, receiver) = oneshot::channel();
                self.given_up = Some(receiver);
                Some(sender)
            }
            // None if it was given up meanwhile, and is about to end.
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
            state.leaving += bytes;
            // Its receiver is dropped with what it holds, and that needs the lock.
            let _ = sender.send(());
        }
    }
}

impl State {
    fn remove(&mut self, bytes: usize, id: u64) -> Option<oneshot::Sender<()>> {
        let sender = self.handshakes.remove(&(bytes, Reverse(id)))?;
        self.held -= bytes;
        Some(sender)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        if state.remove(self.bytes, self.id).is_none() && self.given_up.is_some() {
            state.leaving -= self.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::{Budget, Intake, TooLarge};
    use crate::limits::{CLIENT_FLIGHT, CLIENT_HELLO};

    fn is_given_up(intake: &mut Intake) -> bool {
        intake.poll_given_up(&mut Context::from_waker(Waker::noop())) != Poll::Pending
    }

    #[test]
    fn a_hello_and_what_follows_have_bounds_of_their_own() {
        let mut intake = Intake::of_client(None);
        let room = |intake: &Intake| intake.poll_room(&mut Context::from_waker(Waker::noop()));
        intake.received(CLIENT_HELLO - 1, false);
        assert_eq!(room(&intake), Poll::Ready(Ok(1)));
        intake.received(1, false);
        assert_eq!(room(&intake), Poll::Ready(Err(TooLarge { limit: CLIENT_HELLO })));
        intake.received(0, true);
        assert_eq!(room(&intake), Poll::Ready(Ok(CLIENT_FLIGHT)));
        // Later answers start nothing anew.
        intake.received(CLIENT_FLIGHT, true);
        assert_eq!(room(&intake), Poll::Ready(Err(TooLarge { limit: CLIENT_FLIGHT })));
    }

    #[test]
    fn beyond_the_budget_the_largest_is_given_up_and_of_equals_the_oldest() {
        static BUDGET: Budget = Budget::new(100);
        let mut all: Vec<_> = (0..4).map(|_| Intake::of_client(Some(&BUDGET))).collect();
        for (one, count) in [(0, 10), (1, 40), (2, 30), (2, 10), (3, 10)] {
            all[one].received(count, false);
        }
        assert!(!all.iter_mut().any(is_given_up) && BUDGET.held() == 100);
        all[0].received(1, false);
        assert_eq!(all.iter_mut().map(is_given_up).collect::<Vec<_>>(), [false, true, false, false]);
        // Until it is gone, nobody takes in more.
        let room = |intake: &Intake| intake.poll_room(&mut Context::from_waker(Waker::noop()));
        assert_eq!((BUDGET.held(), room(&all[0])), (101, Poll::Pending));
        drop(all.remove(1));
        assert_eq!((BUDGET.held(), room(&all[0]).is_ready()), (61, true));
        // One that is larger than all others together is given up itself.
        all[2].received(90, false);
        assert!(is_given_up(&mut all[2]) && !is_given_up(&mut all[1]));
        all.clear();
        assert_eq!(BUDGET.held(), 0);
    }
}
