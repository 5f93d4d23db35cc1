//! Freezes the controller while its state is handed over to the process that replaces this one. Requests for changes
//! wait until the controller thaws, or fail once this process is replaced.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::Controller;
use crate::control::change::ChangeError;
use crate::control::handover::{ChangePhase, Handover, ModeChange};
use crate::control::state_file::{PersistedMode, SavedState};
use crate::control::tasks::state_saver::LastWrite;
use crate::limits::TAKEOVER_FREEZE;

/// A frozen controller: there are no changes, and the state file is not written. Thaws when dropped.
#[derive(Debug)]
pub struct Frozen {
    controller: Arc<Controller>,
    /// `None` until changes in progress are done.
    state_file: Option<OwnedMutexGuard<LastWrite>>,
}

/// The controller was not frozen, because changes that were requested before are not done.
#[derive(Debug, thiserror::Error)]
#[error("changes that were requested before did not end within {} s; try again", TAKEOVER_FREEZE.as_secs())]
pub struct FreezeError;

impl Controller {
    /// Freezes the controller, once changes in progress are done.
    ///
    /// # Errors
    /// [`FreezeError`] if these changes take too long.
    pub async fn freeze(self: &Arc<Self>) -> Result<Frozen, FreezeError> {
        self.phase.send_replace(ChangePhase::Frozen);
        // Thaws also if this future is dropped, because the process stops.
        let mut frozen = Frozen { controller: Arc::clone(self), state_file: None };
        let quiet = async {
            // Changes that were requested before the freeze hold this lock or wait for it, so they are done once it is
            // acquired here.
            drop(self.changing.lock().await);
            self.saver.pause().await
        };
        frozen.state_file = Some(timeout(TAKEOVER_FREEZE, quiet).await.map_err(|_| FreezeError)?);
        Ok(frozen)
    }

    /// Returns once changes are accepted: at once, unless the state is being handed over.
    ///
    /// # Errors
    /// [`ChangeError::Replaced`]
    pub async fn thawed(&self) -> Result<(), ChangeError> {
        let mut phase = self.phase.subscribe();
        let decided = phase.wait_for(|phase| *phase != ChangePhase::Frozen).await.map(|phase| *phase);
        match decided {
            Ok(ChangePhase::Open) => Ok(()),
            Ok(ChangePhase::Frozen | ChangePhase::Replaced) | Err(_) => Err(ChangeError::Replaced),
        }
    }
}

impl Frozen {
    /// The state to hand over.
    pub fn handover(&self) -> Handover {
        let view = &self.controller.view;
        let snapshot = view.snapshot();
        let loaded = view.loaded();
        let (configured, read_at) = (loaded.settings.mode, loaded.read_at);
        let (inventory, history) = (view.observer().inventory.to_image(), view.history().entries());
        view.running(|running| Handover {
            mode: PersistedMode::new(snapshot.mode, configured),
            generation: snapshot.generation,
            read_at: Some(read_at),
            mode_change: ModeChange { since: running.mode_since, by: running.mode_by.clone() },
            lease: running.lease.held_now(),
            saved: SavedState {
                mode: running.persisted.clone(),
                inventory,
                history,
                members: running.named.to_image(),
            },
        })
    }

    /// Leaves the state to the other process for good.
    pub fn replaced(self) {
        self.controller.saver.retire();
        self.controller.phase.send_replace(ChangePhase::Replaced);
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.controller.phase.send_if_modified(|phase| {
            let thaws = *phase == ChangePhase::Frozen;
            if thaws {
                *phase = ChangePhase::Open;
            }
            thaws
        });
    }
}
