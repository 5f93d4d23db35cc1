//! Replaces files atomically. Files are created with their final mode.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process,
    sync::atomic::{AtomicU64, Ordering},
};

/// Writes a private key atomically, with mode 0600.
///
/// # Errors
///
/// The operating system's error. An existing file is unchanged, and no temporary file remains.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    replace(path, text, 0o600)
}

/// Writes a public file (a CA, a CRL) atomically, with mode 0644 less the umask.
///
/// # Errors
///
/// As [`write_private`].
pub fn write_public(path: &Path, text: &str) -> io::Result<()> {
    replace(path, text, 0o644)
}

fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let unique = format!(".{name}.{}.{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    // In the folder of the target, since a rename is atomic only within one file system.
    let temporary = path.with_file_name(unique);
    // `create_new` neither follows a symbolic link nor keeps the mode of an existing file.
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is reported. A file that was not created cannot be removed.
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn replaces_whole_and_tightens_the_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        fs::write(&path, "old, longer than the new one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        write_private(&path, "new").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("new", 0o600));
        write_public(&path, "public").unwrap();
        assert_eq!(mode(&path) & 0o600, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        assert!(write_private(&folder, "text").is_err(), "a folder is not replaced");
        assert!(write_private(&dir.path().join("no/such/place"), "text").is_err());
        assert!(write_private(Path::new("/"), "text").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
