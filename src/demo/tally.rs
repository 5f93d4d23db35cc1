//! Counts of client operations and heartbeats.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Tally {
    operations: AtomicU64,
    heartbeats: AtomicU64,
    failed_operations: AtomicU64,
    failed_heartbeats: AtomicU64,
    first_failures: Mutex<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CountedKind {
    Operation,
    Heartbeat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) done: u64,
    pub(super) failed: u64,
}

impl Tally {
    /// Counts one result. The texts of the first failures are kept.
    pub(super) fn count(&self, of: CountedKind, who: &str, result: Result<(), String>) {
        let (done, failed) = self.counters(of);
        match result {
            Ok(()) => _ = done.fetch_add(1, Relaxed),
            Err(why) => {
                failed.fetch_add(1, Relaxed);
                let mut failures = self.first_failures.lock().unwrap_or_else(PoisonError::into_inner);
                if failures.len() < MOST_FAILURES {
                    failures.push(format!("{who}: {why}"));
                }
            }
        }
    }

    pub(super) fn read(&self, of: CountedKind) -> Count {
        let (done, failed) = self.counters(of);
        Count { done: done.load(Relaxed), failed: failed.load(Relaxed) }
    }

    pub(super) fn failed(&self) -> u64 {
        self.read(CountedKind::Operation).failed + self.read(CountedKind::Heartbeat).failed
    }

    pub(super) fn first_failures(&self) -> Vec<String> {
        self.first_failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn counters(&self, of: CountedKind) -> (&AtomicU64, &AtomicU64) {
        match of {
            CountedKind::Operation => (&self.operations, &self.failed_operations),
            CountedKind::Heartbeat => (&self.heartbeats, &self.failed_heartbeats),
        }
    }
}

/// Maximum number of failures whose texts are kept.
const MOST_FAILURES: usize = 5;
