//! Seats for connections: slots for everybody, some kept for members of the set, and a room to wait in for those who
//! find none. So accepting never waits, and a storm of clients does not stand in the way of members behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Slot, Slots};

/// The seats of a route, shared by all workers.
#[derive(Debug, Clone)]
pub struct Seats(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// For everybody.
    open: Slots,
    /// For members, once the others are taken.
    kept: Slots,
    /// For those who wait, connected.
    room: Slots,
    /// Whether it was said that all are taken, since the last seat that was free at once.
    said: AtomicBool,
}

impl Seats {
    /// So many seats, none of them kept, and room for so many to wait.
    #[must_use]
    pub fn new(size: usize, room: usize) -> Seats {
        let (open, kept, room) = (Slots::new(size), Slots::new(0), Slots::new(room));
        Seats(Arc::new(Shared { open, kept, room, said: AtomicBool::new(false) }))
    }

    /// How many there are, kept ones included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.open.size() + self.0.kept.size()
    }

    /// Changes how many there are and how many of them are kept for members, at most half. Nobody loses a seat.
    pub fn resize(&self, size: usize, kept: usize) {
        let kept = kept.min(size / 2);
        self.0.kept.resize(kept);
        self.0.open.resize(size - kept);
    }

    /// A seat, if one is free now. `member` is asked only where it matters.
    #[must_use]
    pub fn try_take(&self, member: impl FnOnce() -> bool) -> Option<Slot> {
        if let Some(slot) = self.0.open.try_take() {
            if self.0.said.load(Ordering::Relaxed) {
                self.0.said.store(false, Ordering::Relaxed);
            }
            return Some(slot);
        }
        if member() { self.0.kept.try_take() } else { None }
    }

    /// A seat, when one is free.
    pub async fn take(&self, member: bool) -> Slot {
        if member {
            tokio::select! {
                slot = self.0.open.take() => slot,
                slot = self.0.kept.take() => slot,
            }
        } else {
            self.0.open.take().await
        }
    }

    /// A place to wait in, if there is one.
    #[must_use]
    pub fn wait(&self) -> Option<Slot> {
        self.0.room.try_take()
    }

    /// Whether that all are taken is still to be said: once, until a seat is free at once again.
    #[must_use]
    pub fn says_full(&self) -> bool {
        !self.0.said.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::Seats;

    #[tokio::test]
    async fn members_find_a_seat_when_others_do_not() {
        let seats = Seats::new(6, 1);
        seats.resize(6, 2);
        let strangers: Vec<_> = std::iter::from_fn(|| seats.try_take(|| false)).collect();
        assert_eq!((strangers.len(), seats.size()), (4, 6));
        let members: Vec<_> = std::iter::from_fn(|| seats.try_take(|| true)).collect();
        assert_eq!(members.len(), 2);
        // The room is as bounded as the seats.
        let place = seats.wait().unwrap();
        assert!(seats.wait().is_none());
        drop(place);
        assert!(seats.wait().is_some());
        // Who waits gets whatever becomes free first.
        drop(members);
        drop(seats.take(true).await);
        drop(strangers);
        drop(seats.take(false).await);
    }

    #[test]
    fn at_most_half_are_kept_and_a_full_house_is_said_once() {
        let seats = Seats::new(10, 0);
        seats.resize(3, 64);
        assert_eq!(std::iter::from_fn(|| seats.try_take(|| false)).collect::<Vec<_>>().len(), 2);
        assert!(seats.says_full() && !seats.says_full());
        drop(seats.try_take(|| false));
        assert!(seats.says_full());
    }
}
