//! What the desk puts into the state file, and what a restart would make of it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::change::Refused;
use super::desk::{Desk, blocking};
use super::state_file::{self, Persisted, State};
use crate::config;
use crate::policy::{Mode, Spelling};

impl Desk {
    /// Writes the state file with this mode in it: before the change, since this can fail and the change cannot.
    pub(super) async fn persist(&self, mode: Mode) -> Result<(), Refused> {
        let path = self.state_path().ok_or(Refused::NoStateFile)?;
        let over = self.loaded().settings.mode;
        let persisted = Persisted::new(mode, over);
        let saved = Arc::clone(&self.saved).lock_owned().await;
        let _saved = self.write(saved, path, Some(persisted.clone())).await?;
        self.current().persisted = Some(persisted);
        Ok(())
    }

    /// Writes the state file, if there is one and anything has changed. A file that cannot be written is said, once.
    pub async fn save_state(&self) {
        let Some(path) = self.state_path() else { return };
        // One writer at a time, from the look at what is to be written on.
        let saved = Arc::clone(&self.saved).lock_owned().await;
        let what = (self.observer.inventory.revision(), self.current().persisted.clone());
        if saved.what.as_ref() == Some(&what) {
            return;
        }
        match self.write(saved, path, what.1.clone()).await {
            Ok(mut saved) => (saved.what, saved.failing) = (Some(what), false),
            Err(error) => {
                let mut saved = self.saved.lock().await;
                if !saved.failing {
                    tracing::error!(%error, "what was seen of clients would not outlive a restart");
                }
                saved.failing = true;
            }
        }
    }

    /// Writes. The right to do so goes along, so that whoever stops waiting for it does not let another in.
    async fn write(&self, saved: Writing, path: PathBuf, persisted: Option<Persisted>) -> Result<Writing, Refused> {
        let observer = Arc::clone(&self.observer);
        let file = path.display().to_string();
        let written = blocking(move || {
            let state = State { mode: persisted, inventory: observer.inventory.to_image() };
            state_file::write(&path, &state).map(|()| saved)
        });
        written.await?.map_err(|error| Refused::StateFile { file, error: error.to_string() })
    }

    /// The mode that flags and file name, as they are now: whoever edits the file wants to see it.
    pub(super) async fn configured_mode(&self) -> (Mode, Spelling) {
        let arguments = self.arguments.clone();
        let now = blocking(move || config::mode_named(&arguments)).await.ok().flatten();
        let loaded = self.loaded();
        // A file that cannot be read now was read once.
        now.unwrap_or((loaded.settings.mode, loaded.settings.spelling))
    }

    /// The mode that a restart would start in.
    pub(super) fn restart_mode(&self, configured: Mode) -> Mode {
        let current = self.current();
        current.persisted.as_ref().and_then(|persisted| persisted.wins_over(configured)).unwrap_or(configured)
    }

    fn state_path(&self) -> Option<PathBuf> {
        self.loaded().settings.admin.state_file.clone()
    }
}

/// The right to write.
type Writing = OwnedMutexGuard<Saved>;

/// What was last written.
#[derive(Debug, Default)]
pub(super) struct Saved {
    what: Option<(u64, Option<Persisted>)>,
    failing: bool,
}
