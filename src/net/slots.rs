//! Slots: one is taken before a connection is served and returned when the connection is dropped, so that they
//! never outnumber what the process can carry. Resizable while it runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

/// A number of slots, shared by all workers.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    free: Semaphore,
    size: Mutex<usize>,
    /// Slots in use that are to vanish instead of coming back, after a resize below what is in use.
    owed: AtomicUsize,
}

/// One slot; dropping it returns it.
#[derive(Debug)]
pub struct Slot(Arc<Shared>);

impl Slots {
    /// So many slots.
    #[must_use]
    pub fn new(size: usize) -> Slots {
        let shared = Shared { free: Semaphore::new(size), size: Mutex::new(size), owed: AtomicUsize::new(0) };
        Slots(Arc::new(shared))
    }

    /// A slot, if one is free now.
    #[must_use]
    pub fn try_take(&self) -> Option<Slot> {
        self.0.free.try_acquire().ok()?.forget();
        Some(Slot(Arc::clone(&self.0)))
    }

    /// A slot, when one is free.
    pub async fn take(&self) -> Slot {
        // The semaphore is never closed, so there always is a permit. The slot puts it back.
        if let Ok(permit) = self.0.free.acquire().await {
            permit.forget();
        }
        Slot(Arc::clone(&self.0))
    }

    /// How many there are, free or not.
    #[must_use]
    pub fn size(&self) -> usize {
        *self.0.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how many there are. Nobody who has one loses it: a smaller number is reached as slots come back.
    pub fn resize(&self, to: usize) {
        let mut size = self.0.size.lock().unwrap_or_else(PoisonError::into_inner);
        if to > *size {
            let forgiven = (0..to - *size).filter(|_| self.0.pay()).count();
            self.0.free.add_permits(to - *size - forgiven);
        } else {
            let removed = self.0.free.forget_permits(*size - to);
            self.0.owed.fetch_add(*size - to - removed, Ordering::SeqCst);
        }
        *size = to;
    }
}

impl Shared {
    /// Pays one owed slot, if any is owed.
    fn pay(&self) -> bool {
        self.owed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |owed| owed.checked_sub(1)).is_ok()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.0.pay() {
            self.0.free.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        /// Whatever the order of taking, returning and resizing: in the end exactly `size` can be had.
        #[test]
        fn never_more_than_its_size_once_settled(steps in proptest::collection::vec((0_u8..3, 0_usize..20), 0..60)) {
            let slots = Slots::new(8);
            let mut held = Vec::new();
            for (step, number) in steps {
                match step {
                    0 => held.extend(slots.try_take()),
                    1 => drop(held.pop()),
                    _ => slots.resize(number),
                }
                prop_assert!(held.len() >= slots.size() || slots.try_take().is_some());
            }
            held.clear();
            let all: Vec<_> = std::iter::from_fn(|| slots.try_take()).collect();
            prop_assert_eq!(all.len(), slots.size());
        }
    }
}
