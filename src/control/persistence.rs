//! What the controller puts into the state file, and what a restart would make of it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::change::ChangeError;
use super::controller::{Controller, blocking};
use super::naming::NamedSets;
use super::state_file::{self, Persisted, State};
use crate::config;
use crate::policy::{Mode, Spelling};

impl Controller {
    /// Writes the state file with this mode in it: before the change, since this can fail and the change cannot.
    pub(crate) async fn persist(&self, mode: Mode) -> Result<(), ChangeError> {
        let path = self.state_path().ok_or(ChangeError::NoStateFile)?;
        let over = self.loaded().settings.mode;
        let persisted = Persisted::new(mode, over);
        let saved = Arc::clone(&self.saved).lock_owned().await;
        let kept = Kept { persisted: Some(persisted.clone()), ..self.kept() };
        let _saved = self.write(saved, path, kept).await?;
        self.current().persisted = Some(persisted);
        Ok(())
    }

    /// Puts the names of members in force, and in the state file before that, if there is one.
    pub(crate) async fn save_named(&self, named: Arc<NamedSets>) -> Result<(), ChangeError> {
        let saved = Arc::clone(&self.saved).lock_owned().await;
        let _saved = match self.state_path() {
            Some(path) => self.write(saved, path, Kept { named: Arc::clone(&named), ..self.kept() }).await?,
            None => saved,
        };
        self.current().named = named;
        Ok(())
    }

    /// Writes the state file, if there is one and anything has changed. A file that cannot be written is said, once.
    pub async fn save_state(&self) {
        let Some(path) = self.state_path() else { return };
        // One writer at a time, from the look at what is to be written on.
        let saved = Arc::clone(&self.saved).lock_owned().await;
        let what = (self.observer.inventory.revision(), self.history.revision(), self.kept());
        if saved.what.as_ref() == Some(&what) {
            return;
        }
        match self.write(saved, path, what.2.clone()).await {
            Ok(mut saved) => (saved.what, saved.failing) = (Some(what), false),
            Err(error) => {
                let mut saved = self.saved.lock().await;
                if !saved.failing {
                    tracing::error!(%error, "what was seen of clients, and the history of changes, would not outlive a restart");
                }
                saved.failing = true;
            }
        }
    }

    /// Writes. The right to do so goes along, so that whoever stops waiting for it does not let another in.
    async fn write(&self, saved: Writing, path: PathBuf, kept: Kept) -> Result<Writing, ChangeError> {
        let (observer, history) = (Arc::clone(&self.observer), self.history.entries());
        let file = path.display().to_string();
        let written = blocking(move || {
            let Kept { persisted, named } = kept;
            let inventory = observer.inventory.to_image();
            let state = State { mode: persisted, inventory, members: named.to_image(), history };
            state_file::write(&path, &state).map(|()| saved)
        });
        written.await?.map_err(|error| ChangeError::StateFile { file, error: error.to_string() })
    }

    /// The mode that flags and file name, as they are now: whoever edits the file wants to see it.
    pub(crate) async fn configured_mode(&self) -> (Mode, Spelling) {
        let arguments = self.arguments.clone();
        let now = blocking(move || config::mode_named(&arguments)).await.ok().flatten();
        let loaded = self.loaded();
        // A file that cannot be read now was read once.
        now.unwrap_or((loaded.settings.mode, loaded.settings.spelling))
    }

    /// The mode that a restart would start in.
    pub(crate) fn restart_mode(&self, configured: Mode) -> Mode {
        let current = self.current();
        current.persisted.as_ref().and_then(|persisted| persisted.wins_over(configured)).unwrap_or(configured)
    }

    fn kept(&self) -> Kept {
        let current = self.current();
        Kept { persisted: current.persisted.clone(), named: Arc::clone(&current.named) }
    }

    fn state_path(&self) -> Option<PathBuf> {
        self.loaded().settings.admin.state_file.clone()
    }
}

/// The right to write.
type Writing = OwnedMutexGuard<Saved>;

/// What the state file keeps beside the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    persisted: Option<Persisted>,
    named: Arc<NamedSets>,
}

/// What was last written: the inventory's and the history's revisions, and the rest.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    what: Option<(u64, u64, Kept)>,
    failing: bool,
}
