//! The running state outside of the snapshot: configuration, persisted mode, named members and lease. The controller
//! writes it; everything else has a reader.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::caller::Caller;
use super::lease::Lease;
use super::member_names::NamedSets;
use super::state_file::PersistedMode;
use crate::config::Loaded;
use crate::route::Routes;

#[derive(Debug)]
pub(super) struct RunningState {
    pub(super) loaded: Arc<Loaded>,
    pub(super) routes: Arc<Routes>,
    pub(super) persisted: Option<PersistedMode>,
    /// The members that a rollout has named.
    pub(super) named: Arc<NamedSets>,
    pub(super) lease: Lease,
    /// The time at which the mode was last changed, or of the start.
    pub(super) mode_since: SystemTime,
    /// The caller who changed the mode last; `None` for the mode at the start.
    pub(super) mode_by: Option<Caller>,
}

/// The writing side; there is one.
#[derive(Debug)]
pub(super) struct RunningWriter(Arc<Mutex<RunningState>>);

/// The reading side.
#[derive(Debug, Clone)]
pub(super) struct RunningReader(Arc<Mutex<RunningState>>);

impl RunningWriter {
    pub(super) fn new(running: RunningState) -> RunningWriter {
        RunningWriter(Arc::new(Mutex::new(running)))
    }

    pub(super) fn reader(&self) -> RunningReader {
        RunningReader(Arc::clone(&self.0))
    }

    pub(super) fn write(&self) -> MutexGuard<'_, RunningState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunningState {
    /// Notes a change of the mode.
    pub(super) fn mode_changed(&mut self, by: &Caller) {
        (self.mode_since, self.mode_by) = (SystemTime::now(), Some(by.clone()));
    }
}

impl RunningReader {
    /// Reads the state under its lock, which is not held across awaits.
    pub(super) fn read<T>(&self, read: impl FnOnce(&RunningState) -> T) -> T {
        read(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
