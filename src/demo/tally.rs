//! What is counted while the walk goes on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Operations of clients and heartbeats of nodes: every one is either done or failed.
#[derive(Debug, Default)]
pub(super) struct Tally {
    operations: AtomicU64,
    heartbeats: AtomicU64,
    failed_operations: AtomicU64,
    failed_heartbeats: AtomicU64,
    /// The first failures, in words.
    words: Mutex<Vec<String>>,
}

/// Whose it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A client's operation.
    Client,
    /// A node's heartbeat.
    Node,
}

/// A reading of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) done: u64,
    pub(super) failed: u64,
}

impl Tally {
    /// Counts one; who it was and why it failed are kept of the first failures.
    pub(super) fn count(&self, of: Of, who: &str, result: Result<(), String>) {
        let (done, failed) = self.counters(of);
        match result {
            Ok(()) => _ = done.fetch_add(1, Relaxed),
            Err(why) => {
                failed.fetch_add(1, Relaxed);
                let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
                if words.len() < MOST_WORDS {
                    words.push(format!("{who}: {why}"));
                }
            }
        }
    }

    /// How many so far.
    pub(super) fn read(&self, of: Of) -> Count {
        let (done, failed) = self.counters(of);
        Count { done: done.load(Relaxed), failed: failed.load(Relaxed) }
    }

    /// How many of either kind failed.
    pub(super) fn failed(&self) -> u64 {
        self.read(Of::Client).failed + self.read(Of::Node).failed
    }

    /// The first failures.
    pub(super) fn words(&self) -> Vec<String> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn counters(&self, of: Of) -> (&AtomicU64, &AtomicU64) {
        match of {
            Of::Client => (&self.operations, &self.failed_operations),
            Of::Node => (&self.heartbeats, &self.failed_heartbeats),
        }
    }
}

/// Failures told: after these, more say nothing new.
const MOST_WORDS: usize = 5;
