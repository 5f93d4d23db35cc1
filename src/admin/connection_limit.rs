//! A connection limit: of the admin port by TCP, of its Unix sockets, or of the probe port. At the limit, a new
//! connection evicts the least useful one, so that thousands of silent connections cannot exclude a client that sends
//! a request.
//!
//! The least useful connections are those that have sent no byte, then those without an answered request; among equals,
//! the one that made no progress for the longest time. A connection whose request is in progress is not evicted for
//! another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// The limit of the connections of some listeners. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct AdminConnectionLimit(Arc<LimitTable>);

#[derive(Debug)]
struct LimitTable {
    most: usize,
    state: Mutex<LimitState>,
}

#[derive(Debug, Default)]
struct LimitState {
    last: u64,
    here: HashMap<u64, SlotEntry>,
}

#[derive(Debug)]
struct SlotEntry {
    progress: ConnectionProgress,
    /// The time of the last progress.
    since: Instant,
    /// Requests in progress.
    busy: u32,
    leave: Arc<Notify>,
}

/// The progress of a connection; those with the least are evicted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ConnectionProgress {
    Silent,
    Begun,
    Served,
}

/// The slot of one connection, released on drop.
#[derive(Debug)]
pub(super) struct AdminConnectionSlot {
    number: u64,
    leave: Arc<Notify>,
    limit: AdminConnectionLimit,
}

/// Marks a request as in progress: its connection is not evicted for another while this value exists.
#[derive(Debug)]
pub(super) struct Busy<'a>(&'a AdminConnectionSlot);

impl AdminConnectionLimit {
    pub(super) fn new(most: usize) -> AdminConnectionLimit {
        AdminConnectionLimit(Arc::new(LimitTable { most, state: Mutex::default() }))
    }

    /// Takes a slot for a connection; at the limit, another connection is evicted. `None` if requests are in progress
    /// on all.
    pub(super) fn admit(&self) -> Option<AdminConnectionSlot> {
        let mut state = self.state();
        if state.here.len() >= self.0.most {
            let idle = state.here.iter().filter(|(_, entry)| entry.busy == 0);
            let least = idle.min_by_key(|(number, entry)| (entry.progress, entry.since, **number));
            let number = least.map(|(number, _)| *number)?;
            if let Some(entry) = state.here.remove(&number) {
                entry.leave.notify_one();
            }
        }
        state.last += 1;
        let (number, leave) = (state.last, Arc::<Notify>::default());
        let entry = SlotEntry {
            progress: ConnectionProgress::Silent,
            since: Instant::now(),
            busy: 0,
            leave: Arc::clone(&leave),
        };
        state.here.insert(number, entry);
        Some(AdminConnectionSlot { number, leave, limit: self.clone() })
    }

    fn state(&self) -> MutexGuard<'_, LimitState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AdminConnectionSlot {
    /// The number of the connection, from 1.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Records that the client has sent a byte.
    pub(super) fn begun(&self) {
        self.change(|entry| entry.progress = entry.progress.max(ConnectionProgress::Begun));
    }

    /// Records that a request was answered, other than by a refusal.
    pub(super) fn served(&self) {
        self.change(|entry| entry.progress = ConnectionProgress::Served);
    }

    /// Marks a request as in progress until the guard is dropped.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.change(|entry| entry.busy += 1);
        Busy(self)
    }

    /// Evicts this connection, because its client takes no bytes.
    pub(super) fn evict(&self) {
        self.leave.notify_one();
    }

    /// Returns when the connection is evicted.
    pub(super) async fn evicted(&self) {
        self.leave.notified().await;
    }

    fn change(&self, change: impl FnOnce(&mut SlotEntry)) {
        // The entry is missing if the connection was just evicted and its task has not noticed yet.
        if let Some(entry) = self.limit.state().here.get_mut(&self.number) {
            entry.since = Instant::now();
            change(entry);
        }
    }
}

impl Drop for AdminConnectionSlot {
    fn drop(&mut self) {
        self.limit.state().here.remove(&self.number);
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.change(|entry| entry.busy -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{AdminConnectionLimit, AdminConnectionSlot};

    fn is_out(slot: &AdminConnectionSlot) -> bool {
        !slot.limit.state().here.contains_key(&slot.number)
    }

    #[tokio::test]
    async fn the_one_of_least_use_makes_room() {
        let limit = AdminConnectionLimit::new(4);
        let [silent, begun, served, later] = std::array::from_fn(|_| limit.admit().unwrap());
        served.served();
        begun.begun();
        later.begun();
        let _new = limit.admit().unwrap();
        assert!(is_out(&silent) && !is_out(&begun));
        tokio::time::timeout(Duration::from_secs(5), silent.evicted()).await.expect("it is told");
        // The new connection is the only silent one now.
        let newer = limit.admit().unwrap();
        assert!(is_out(&_new) && !is_out(&begun));
        newer.served();
        let newest = limit.admit().unwrap();
        assert!(is_out(&begun) && !is_out(&later), "among equals, the longest without progress");
        newest.served();
        let _a = limit.admit().unwrap();
        assert!(is_out(&later));
        assert_eq!(limit.state().here.len(), 4);
    }

    #[test]
    fn who_is_served_now_stays() {
        let limit = AdminConnectionLimit::new(2);
        let (one, two) = (limit.admit().unwrap(), limit.admit().unwrap());
        let (_one_busy, two_busy) = (one.busy(), two.busy());
        assert!(limit.admit().is_none());
        drop(two_busy);
        assert!(limit.admit().is_some());
        assert!(is_out(&two) && !is_out(&one));
        drop(two);
        assert_eq!(limit.state().here.len(), 1, "the one that came and went has given its place back");
    }

    #[test]
    fn thousands_that_say_nothing_leave_those_who_ask() {
        let limit = AdminConnectionLimit::new(8);
        let asking: Vec<_> = (0..4).map(|_| limit.admit().unwrap()).collect();
        asking.iter().for_each(AdminConnectionSlot::served);
        let mut silent: Vec<AdminConnectionSlot> = Vec::new();
        for _ in 0..10_000 {
            silent.extend(limit.admit());
            silent.retain(|slot| !is_out(slot));
            assert!(silent.len() <= 4);
        }
        assert!(asking.iter().all(|slot| !is_out(slot)));
    }
}
