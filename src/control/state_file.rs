//! The state file: the mode that an operator persisted, the inventory, the history, and the members that a rollout has
//! named.
//!
//! The state is written to a new file, which is synced and renamed: after a crash, the file has either its old or its
//! new content. If the path is a symbolic link, its target is replaced and the link stays. A folder in which every user
//! can create files is refused: another user could put a file or link in the place of the state file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags, StatxAttributes, StatxFlags, statx};

use serde::{Deserialize, Serialize};

use super::history::HistoryEntry;
use crate::files::{self, random_name};
use crate::limits::STATE_FILE_BYTES;
use crate::policy::{Mode, Spelling};
use crate::telemetry::InventoryImage;

/// The contents of the state file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SavedState {
    /// The mode that was persisted.
    pub mode: Option<PersistedMode>,
    /// The clients that were seen, and the clients that were accepted.
    pub inventory: InventoryImage,
    /// The last changes, oldest first.
    pub history: Vec<HistoryEntry>,
    /// The members that a rollout has named, by set.
    pub members: BTreeMap<String, Vec<String>>,
}

/// A mode that was persisted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PersistedMode {
    /// The mode in the spelling with `SSL`.
    mode: String,
    /// The configured mode (flags and file) at the time of persisting. If the configured mode has changed since, it
    /// is used and the persisted mode is ignored.
    over: String,
}

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// The file could not be read.
    #[error("{0}")]
    Read(String),
    /// The file could not be written.
    #[error("cannot write the file: {0}")]
    Write(io::Error),
    /// The content is not valid JSON of a state file.
    #[error("the file is not a state file: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl PersistedMode {
    /// The record of a mode that overrides the configured one.
    pub fn new(mode: Mode, over: Mode) -> PersistedMode {
        let name = |mode: Mode| mode.name(Spelling::Ssl).to_owned();
        PersistedMode { mode: name(mode), over: name(over) }
    }

    /// The mode; `None` if the file was edited and names no mode.
    pub fn mode(&self) -> Option<Mode> {
        Mode::parse(&self.mode, Spelling::Ssl).ok()
    }

    /// Returns the persisted mode if `configured` is the configured mode for which it was persisted; else `None`.
    pub fn wins_over(&self, configured: Mode) -> Option<Mode> {
        let mode = self.mode()?;
        (Mode::parse(&self.over, Spelling::Ssl) == Ok(configured)).then_some(mode)
    }
}

/// Reads the file; a missing file is an empty state. Also tests whether the file can be written, and leaves no test
/// file.
///
/// # Errors
/// [`StateFileError`]: If the state file cannot be read, the proxy must not start, because the file may name a
/// stricter mode than the configuration.
pub fn read(path: &Path) -> Result<SavedState, StateFileError> {
    let is_there = !fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let state = if is_there {
        serde_json::from_slice(&files::read(path, STATE_FILE_BYTES).map_err(StateFileError::Read)?)?
    } else {
        SavedState::default()
    };
    writable(path).map_err(StateFileError::Write)?;
    Ok(state)
}

/// Writes the file. A new file is readable by its owner alone, since it names clients. An existing one keeps its
/// permissions and, if this process may set it, its owner.
///
/// # Errors
/// The operating system's error, or an error that says that every user can write to the folder. The old file is
/// unchanged then. If only the sync of the folder fails, the new content is in place, so this is not an error: the log
/// has a warning.
pub(super) fn write(path: &Path, state: &SavedState) -> io::Result<()> {
    let (folder, target) = place(path)?;
    // Opened before the rename, so that after it only the sync can fail.
    let opened = File::open(&folder)?;
    let name = target.file_name().unwrap_or_default().display();
    let beside = folder.join(format!(".{name}.{}", random_name()));
    let written = write_new(&beside, &target, &serde_json::to_vec(state)?).and_then(|()| fs::rename(&beside, &target));
    if written.is_err() {
        // The error that is returned is more useful than one from the clean-up.
        let _ = fs::remove_file(&beside);
    }
    written?;
    if let Err(error) = opened.sync_all() {
        tracing::warn!(file = %target.display(), %error, "the state file was written, but its folder could not be \
            synced: a power failure could bring the previous content back");
    }
    Ok(())
}

/// Tests whether [`write()`] could create its file.
fn writable(path: &Path) -> io::Result<()> {
    let (folder, target) = place(path)?;
    // rename(2) treats such a path as a folder, and would fail at the first change.
    let name = target.as_os_str().as_encoded_bytes();
    if target.file_name().is_none() || name.ends_with(b"/") || name.ends_with(b"/.") {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if is_mount(&target) {
        let problem = "the file is a mount point and cannot be replaced; mount its folder instead";
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, problem));
    }
    files::can_create(&folder)
        .map_err(|error| io::Error::new(error.kind(), format!("{error} (its folder is {})", folder.display())))
}

/// Whether a file is a mount point, as it is if a container mounts this single file; rename(2) cannot replace a mount
/// point. False if the kernel (before Linux 5.8) does not report it.
fn is_mount(path: &Path) -> bool {
    let attributes = statx(CWD, path, AtFlags::empty(), StatxFlags::empty()).map(|found| found.stx_attributes);
    attributes.is_ok_and(|attributes| attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Writes a file that must not exist yet, with the owner and permissions of the file that it replaces.
fn write_new(path: &Path, old: &Path, bytes: &[u8]) -> io::Result<()> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(no_follow).open(path)?;
    if let Ok(old) = fs::metadata(old) {
        // Only a privileged process may change the owner; otherwise the file belongs to this process's user.
        let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
        file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o777))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// The folder of the file to which a path leads, and the file.
///
/// # Errors
/// The operating system's error, or an error that says that every user can write to the folder.
fn place(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let target = match fs::canonicalize(path) {
        // The file does not exist yet, or is a link to a file that does not exist yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            Ok(target) => path.parent().unwrap_or(Path::new(".")).join(target),
            Err(_) => path.to_owned(),
        },
        target => target?,
    };
    let folder = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    if fs::metadata(&folder)?.mode() & OTHERS_WRITE != 0 {
        let problem = format!("every user can write to its folder {}", folder.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    }
    Ok((folder, target))
}

/// The permission of a folder that lets all other users create files in it (inode(7)).
const OTHERS_WRITE: u32 = 0o002;

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::{PersistedMode, SavedState, StateFileError, read, write};
    use crate::policy::Mode::{Allow, Disabled, Require};

    #[test]
    fn a_persisted_mode_wins_until_the_configuration_names_another() {
        let persisted = PersistedMode::new(Require, Allow);
        assert_eq!(persisted.wins_over(Allow), Some(Require));
        assert_eq!(persisted.wins_over(Disabled), None);
        let unknown = PersistedMode { mode: "sometimes".into(), over: "allowSSL".into() };
        assert_eq!(unknown.wins_over(Allow), None);
    }

    #[test]
    fn a_link_is_followed_and_owner_and_mode_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (link, real) = (folder.path().join("state"), folder.path().join("real"));
        std::fs::create_dir(&real).unwrap();
        let target = real.join("state.json");
        std::fs::write(&target, "{}").unwrap();
        std::fs::set_permissions(&target, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let state = SavedState { mode: Some(PersistedMode::new(Require, Allow)), ..SavedState::default() };
        write(&link, &state).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&target).unwrap().mode, state.mode);
        assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(&real).unwrap().count(), 1, "nothing is left beside it");
        std::fs::set_permissions(&real, Permissions::from_mode(0o777)).unwrap();
        for result in [
            write(&link, &state).map_err(|error| error.to_string()),
            read(&link).map(drop).map_err(|error| error.to_string()),
        ] {
            assert!(result.unwrap_err().contains("every user can write to its folder"));
        }
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is_taken_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(read(&path).unwrap().mode, None);
        let state = SavedState { mode: Some(PersistedMode::new(Require, Allow)), ..SavedState::default() };
        write(&path, &state).unwrap();
        assert_eq!(read(&path).unwrap().mode, state.mode);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        std::fs::write(&path, "{\"mode\":").unwrap();
        assert!(matches!(read(&path), Err(StateFileError::Malformed(_))));
        assert!(matches!(read(folder.path()), Err(StateFileError::Read(_))));
    }
}
