//! Reads files that an operator named, up to a size limit, and checks whether files can be created in a folder.

use std::fs::OpenOptions;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Reads a regular file of at most `most` bytes. FIFOs and devices, which could block for ever, are refused.
///
/// # Errors
/// A message to be appended to "FILE: ".
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("it cannot be read: {error}");
    let no_wait = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    // The type is checked on the open file, because the path could be replaced between a check and the open.
    let file = OpenOptions::new().read(true).custom_flags(no_wait).open(path).map_err(cannot)?;
    if !file.metadata().map_err(cannot)?.is_file() {
        return Err("it cannot be read: not a regular file".into());
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > most { Err(format!("the file exceeds the limit of {most} bytes")) } else { Ok(bytes) }
}

/// Checks whether a file can be created in a folder, by creating an unnamed file. On file systems without unnamed files
/// (NFS), creates a file with a random name and removes it.
///
/// # Errors
/// The error of the system call.
pub fn can_create(folder: &Path) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o600);
    match rustix::fs::open(folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, mode) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
        other => return Ok(other.map(drop)?),
    }
    let path = folder.join(format!(".{}", random_name()));
    let no_follow = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::open(&path, no_follow, mode)?;
    std::fs::remove_file(path)
}

/// Returns a random file name of sixteen hexadecimal digits.
pub fn random_name() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

#[cfg(test)]
mod tests {
    use super::read;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    #[test]
    fn takes_files_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "12345").unwrap();
        assert_eq!(read(&file, 5), Ok(b"12345".to_vec()));
        assert_eq!(read(&file, 4), Err("the file exceeds the limit of 4 bytes".into()));
        let fifo = folder.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        for (path, reason) in [(fifo.as_path(), "not a regular file"), (folder.path(), "not a regular file")] {
            assert!(read(path, 5).unwrap_err().contains(reason));
        }
        assert!(read(&folder.path().join("none"), 5).unwrap_err().contains("No such file"));
    }
}
