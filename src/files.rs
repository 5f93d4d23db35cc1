//! Reading a file that an operator named: whole, bounded, and never a wait on something that is no file.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Reads a regular file of at most `most` bytes. A FIFO or a device, which a read might wait for without end, is
/// refused; so is what is larger.
///
/// # Errors
/// In words that go on from "FILE: ".
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("it cannot be read: {error}");
    let no_wait = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    // Judged by the handle, so that nothing can be put into its place in between.
    let file = OpenOptions::new().read(true).custom_flags(no_wait).open(path).map_err(cannot)?;
    if !file.metadata().map_err(cannot)?.is_file() {
        return Err("it cannot be read: not a regular file".into());
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > most { Err(format!("it has more than {most} bytes")) } else { Ok(bytes) }
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
        assert_eq!(read(&file, 4), Err("it has more than 4 bytes".into()));
        let fifo = folder.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        for (path, reason) in [(fifo.as_path(), "not a regular file"), (folder.path(), "not a regular file")] {
            assert!(read(path, 5).unwrap_err().contains(reason));
        }
        assert!(read(&folder.path().join("none"), 5).unwrap_err().contains("No such file"));
    }
}
