//! The state file: what must outlive a restart and is nobody's configuration. The mode that an operator persisted,
//! the inventory, and the members that a rollout has named.
//!
//! Written whole to a file beside it, synced, and renamed: a crash leaves the old one or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::views::HistoryEntry;
use crate::files;
use crate::limits::STATE_FILE_BYTES;
use crate::observe::InventoryImage;
use crate::policy::{Mode, Spelling};

/// What the file holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct State {
    /// The mode that was persisted.
    pub mode: Option<Persisted>,
    /// Who was seen, who was accepted.
    pub inventory: InventoryImage,
    /// The last changes, oldest first.
    pub history: Vec<HistoryEntry>,
    /// The members that a rollout has named, by set.
    pub members: BTreeMap<String, Vec<String>>,
}

/// A mode that was persisted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Persisted {
    /// The mode, in the older spelling.
    pub(super) mode: String,
    /// The mode that flags and file named at the time. Once they name another, they win.
    over: String,
}

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system does not give it.
    #[error("{0}")]
    Read(String),
    /// It is not what was written.
    #[error("is not a state file: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl Persisted {
    /// A mode that wins over the one configured.
    #[must_use]
    pub fn new(mode: Mode, over: Mode) -> Persisted {
        let name = |mode: Mode| mode.name(Spelling::Ssl).to_owned();
        Persisted { mode: name(mode), over: name(over) }
    }

    /// The mode to start in, where flags and file name `configured`; none where they name another than they did.
    #[must_use]
    pub fn wins_over(&self, configured: Mode) -> Option<Mode> {
        let mode = Mode::parse(&self.mode, Spelling::Ssl).ok()?;
        (Mode::parse(&self.over, Spelling::Ssl) == Ok(configured)).then_some(mode)
    }
}

/// Reads it; a file that is not there is an empty state.
///
/// # Errors
/// [`StateError`]: a state that cannot be read may have persisted a stricter mode, so there is no starting without.
pub fn read(path: &Path) -> Result<State, StateError> {
    if fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(State::default());
    }
    let bytes = files::read(path, STATE_FILE_BYTES).map_err(StateError::Read)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Writes it, readable by its owner alone: it names clients.
///
/// # Errors
/// What the system says; the old file is as it was.
pub(super) fn write(path: &Path, state: &State) -> io::Result<()> {
    let beside = beside(path);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&serde_json::to_vec(state)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::{Persisted, State, StateError, read, write};
    use crate::policy::Mode::{Allow, Disabled, Require};

    #[test]
    fn a_persisted_mode_wins_until_the_configuration_names_another() {
        let persisted = Persisted::new(Require, Allow);
        assert_eq!(persisted.wins_over(Allow), Some(Require));
        assert_eq!(persisted.wins_over(Disabled), None);
        let unknown = Persisted { mode: "sometimes".into(), over: "allowSSL".into() };
        assert_eq!(unknown.wins_over(Allow), None);
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is_taken_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(read(&path).unwrap().mode, None);
        let state = State { mode: Some(Persisted::new(Require, Allow)), ..State::default() };
        write(&path, &state).unwrap();
        assert_eq!(read(&path).unwrap().mode, state.mode);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        std::fs::write(&path, "{\"mode\":").unwrap();
        assert!(matches!(read(&path), Err(StateError::Malformed(_))));
        assert!(matches!(read(folder.path()), Err(StateError::Read(_))));
    }
}
