//! Writes the state file: at intervals if anything has changed, and when the controller persists a change.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::ticks::ticks;
use crate::control::blocking::blocking;
use crate::control::change::ChangeError;
use crate::control::member_names::NamedSets;
use crate::control::running::RunningState;
use crate::control::state_file::{self, PersistedMode, SavedState};
use crate::control::view::View;
use crate::limits::STATE_SAVED_EVERY;

/// The only writer of the state file.
#[derive(Debug)]
pub(crate) struct StateSaver {
    view: Arc<View>,
    /// Held while the file is written.
    last: Arc<Mutex<LastWrite>>,
    /// Set once another process writes the file.
    retired: AtomicBool,
}

/// The saved state except the inventory and the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SmallState {
    pub(crate) persisted: Option<PersistedMode>,
    pub(crate) named: Arc<NamedSets>,
}

/// The state that was written last: the revisions of the inventory and of the history, and the rest.
#[derive(Debug, Default)]
pub(crate) struct LastWrite {
    state: Option<(u64, u64, SmallState)>,
    failing: bool,
}

impl SmallState {
    fn new(running: &RunningState) -> SmallState {
        SmallState { persisted: running.persisted.clone(), named: Arc::clone(&running.named) }
    }
}

impl StateSaver {
    pub(crate) fn new(view: Arc<View>) -> StateSaver {
        StateSaver { view, last: Arc::default(), retired: AtomicBool::new(false) }
    }

    /// Runs until the task is aborted.
    pub(super) async fn run(self: Arc<StateSaver>) {
        let mut ticks = ticks(STATE_SAVED_EVERY);
        loop {
            ticks.tick().await;
            self.save().await;
        }
    }

    /// Writes the file, if there is one and anything has changed. Of consecutive failures, the first is logged.
    pub(crate) async fn save(&self) {
        let Some(path) = self.path() else { return };
        let last = self.lock().await;
        if self.retired.load(Ordering::Relaxed) {
            return;
        }
        let (inventory, history) = (self.view.observer().inventory.revision(), self.view.history().revision());
        let state = (inventory, history, self.view.running(SmallState::new));
        if last.state.as_ref() == Some(&state) {
            return;
        }
        match self.write(last, path, state.2.clone()).await {
            Ok(mut last) => (last.state, last.failing) = (Some(state), false),
            Err(error) => {
                let mut last = self.last.lock().await;
                if !last.failing {
                    tracing::error!(%error, "cannot write the state file: a restart would lose the inventory and the \
                        history");
                }
                last.failing = true;
            }
        }
    }

    /// Writes the file with a change that is not in force yet, since writing can fail and putting the change in force
    /// cannot. No other write begins before the guard is dropped.
    ///
    /// # Errors
    /// [`ChangeError::NoStateFile`], [`ChangeError::StateFile`]
    pub(crate) async fn save_change(
        &self,
        change: impl FnOnce(&mut SmallState),
    ) -> Result<OwnedMutexGuard<LastWrite>, ChangeError> {
        let path = self.path().ok_or(ChangeError::NoStateFile)?;
        let last = self.lock().await;
        let mut state = self.view.running(SmallState::new);
        change(&mut state);
        self.write(last, path, state).await
    }

    /// Waits for a write in progress. No other one begins before the guard is dropped.
    pub(crate) async fn pause(&self) -> OwnedMutexGuard<LastWrite> {
        self.lock().await
    }

    /// Leaves the file to another process for good.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether there is a state file.
    pub(crate) fn has_file(&self) -> bool {
        self.path().is_some()
    }

    /// The guard moves into the blocking work, so that no other write begins if the caller stops waiting.
    async fn write(
        &self,
        last: OwnedMutexGuard<LastWrite>,
        path: PathBuf,
        state: SmallState,
    ) -> Result<OwnedMutexGuard<LastWrite>, ChangeError> {
        let (observer, history) = (Arc::clone(self.view.observer()), self.view.history().entries());
        let file = path.display().to_string();
        let written = blocking(move || {
            let SmallState { persisted, named } = state;
            let inventory = observer.inventory.to_image();
            let state = SavedState { mode: persisted, inventory, members: named.to_image(), history };
            state_file::write(&path, &state).map(|()| last)
        });
        written.await?.map_err(|error| ChangeError::StateFile { file, error: error.to_string() })
    }

    async fn lock(&self) -> OwnedMutexGuard<LastWrite> {
        Arc::clone(&self.last).lock_owned().await
    }

    fn path(&self) -> Option<PathBuf> {
        self.view.loaded().settings.admin.state_file.clone()
    }
}
