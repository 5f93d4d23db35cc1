//! Connections that were established a few seconds ago at most. Switching on the detection of a dead upstream takes
//! five system calls. They would be wasted on most short connections, so they are made once a connection is no longer
//! young. This delays no detection: keepalive and `TCP_USER_TIMEOUT` count from the last packet of the peer, even if
//! they are set later.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::task::Waker;

/// A young connection of this worker; dropping it removes its entry. Every open connection has a field for one, so it
/// is only a number of four bytes.
#[derive(Debug)]
pub struct Young(NonZeroU32);

/// The tasks of a worker's young connections.
#[derive(Debug)]
struct YoungTasks {
    last: NonZeroU32,
    /// Those added since the last call of [`wake_grown`].
    recent: BTreeMap<NonZeroU32, Waker>,
    /// Those added between the last two calls.
    older: BTreeMap<NonZeroU32, Waker>,
}

impl Young {
    /// Adds an entry for the task, which is woken when the connection is no longer young.
    #[must_use]
    pub fn new(task: &Waker) -> Young {
        YOUNG.with_borrow_mut(|young| {
            // A number is free again long before it is used again.
            young.last = young.last.checked_add(1).unwrap_or(NonZeroU32::MIN);
            young.recent.insert(young.last, task.clone());
            Young(young.last)
        })
    }

    /// Whether the connection is still young.
    pub fn lasts(&self) -> bool {
        YOUNG.with_borrow(|young| young.older.contains_key(&self.0) || young.recent.contains_key(&self.0))
    }
}

impl Drop for Young {
    fn drop(&mut self) {
        // The list is gone if the worker's thread is ending.
        let _ = YOUNG.try_with(|young| {
            let YoungTasks { recent, older, .. } = &mut *young.borrow_mut();
            recent.remove(&self.0).or_else(|| older.remove(&self.0))
        });
    }
}

/// Wakes the tasks of this worker whose entries were added before the previous call.
pub fn wake_grown() {
    let grown = YOUNG.with_borrow_mut(|young| {
        let recent = std::mem::take(&mut young.recent);
        std::mem::replace(&mut young.older, recent)
    });
    grown.into_values().for_each(Waker::wake);
}

thread_local! {
    static YOUNG: RefCell<YoungTasks> = const {
        RefCell::new(YoungTasks { last: NonZeroU32::MIN, recent: BTreeMap::new(), older: BTreeMap::new() })
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::{YOUNG, Young, wake_grown};

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_connection_grows_after_a_whole_interval_and_leaves_no_entry() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let count = || woken.0.load(Ordering::Relaxed);
        let (first, ended) = (Young::new(&waker), Young::new(&waker));
        drop(ended);
        wake_grown();
        let second = Young::new(&waker);
        assert!(first.lasts() && second.lasts() && count() == 0, "less than an interval");
        wake_grown();
        assert!(!first.lasts() && second.lasts() && count() == 1);
        wake_grown();
        assert!(!second.lasts() && count() == 2);
        drop((first, second, waker));
        let is_empty = YOUNG.with_borrow(|young| young.recent.is_empty() && young.older.is_empty());
        assert!(is_empty && Arc::strong_count(&woken) == 1);
    }
}
