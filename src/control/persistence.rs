//! What the desk puts into the state file, and what a restart would make of it.

use std::path::PathBuf;
use std::sync::Arc;

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
        let saved = self.saved.lock().await;
        self.write(path, Some(persisted.clone())).await?;
        self.current().persisted = Some(persisted);
        drop(saved);
        Ok(())
    }

    /// Writes the state file, if there is one and anything has changed. A file that cannot be written is said, once.
    pub async fn save_state(&self) {
        let Some(path) = self.state_path() else { return };
        let revision = self.observer.inventory.revision();
        let persisted = self.current().persisted.clone();
        let mut saved = self.saved.lock().await;
        if saved.what == Some((revision, persisted.clone())) {
            return;
        }
        match self.write(path, persisted.clone()).await {
            Ok(()) => (saved.what, saved.failing) = (Some((revision, persisted)), false),
            Err(error) => {
                if !saved.failing {
                    tracing::error!(%error, "what was seen of clients would not outlive a restart");
                }
                saved.failing = true;
            }
        }
    }

    async fn write(&self, path: PathBuf, persisted: Option<Persisted>) -> Result<(), Refused> {
        let observer = Arc::clone(&self.observer);
        let file = path.display().to_string();
        let written = blocking(move || {
            let state = State { mode: persisted, inventory: observer.inventory.to_image() };
            state_file::write(&path, &state)
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

/// What was last written.
#[derive(Debug, Default)]
pub(super) struct Saved {
    what: Option<(u64, Option<Persisted>)>,
    failing: bool,
}
