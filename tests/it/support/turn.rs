//! A bound on how many of the heavy tests run at a time: each replica set is a dozen processes.

use std::sync::{Condvar, Mutex, PoisonError};

/// The right to run a replica set of several hosts. Given back on drop.
#[derive(Debug)]
pub(crate) struct Turn(());

impl Turn {
    /// Waits for a turn.
    pub(crate) fn take() -> Self {
        let taken = TAKEN.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = TAKEN.1.wait_while(taken, |taken| *taken >= MOST);
        *taken.unwrap_or_else(PoisonError::into_inner) += 1;
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        TAKEN.1.notify_one();
    }
}

static TAKEN: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
/// Elections and heartbeats have time limits of their own, which a starved mongod exceeds.
const MOST: usize = 4;
