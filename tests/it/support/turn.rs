//! A limit on how many of the heavy tests run at a time: each replica set has a dozen processes.

use std::sync::{Condvar, Mutex, PoisonError};

/// The permission to run a replica set of several hosts. Returned on drop.
#[derive(Debug)]
pub(crate) struct Turn(());

impl Turn {
    /// Waits for the permission.
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
/// Elections and heartbeats have time limits, which a mongod without enough processor time exceeds.
const MOST: usize = 4;
