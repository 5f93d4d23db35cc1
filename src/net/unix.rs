//! A listening Unix socket to which only its owner can connect.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{geteuid, umask};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::files::random_name;

/// A bound socket. Its file is removed once the last reference to it is dropped, unless the file was replaced or is
/// left to another process.
#[derive(Debug)]
pub struct UnixSocket {
    /// The listener, non-blocking.
    pub listener: UnixListener,
    /// The file of the socket; `None` if another program created it.
    pub file: Option<Arc<SocketFile>>,
}

impl UnixSocket {
    /// Wraps a listener that another process has bound. It is non-blocking already.
    pub(super) fn passed_on(listener: UnixListener) -> UnixSocket {
        UnixSocket { listener, file: None }
    }

    /// Wraps a listener of the tlsramp that this process replaces. Its file stays until [`SocketFile::own`] is called.
    pub(super) fn taken_over(listener: UnixListener, path: &Path) -> io::Result<UnixSocket> {
        let file = SocketFile::of(path)?;
        file.disown();
        Ok(UnixSocket { listener, file: Some(Arc::new(file)) })
    }
}

/// The file of a socket that a tlsramp has created. It is removed by the process that owns it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    owned: AtomicBool,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<SocketFile> {
        let made = fs::symlink_metadata(path)?;
        Ok(SocketFile { path: path.to_owned(), device: made.dev(), inode: made.ino(), owned: AtomicBool::new(true) })
    }

    /// Makes this process the owner.
    pub fn own(&self) {
        self.owned.store(true, Ordering::Relaxed);
    }

    /// Leaves the file to another process.
    pub fn disown(&self) {
        self.owned.store(false, Ordering::Relaxed);
    }
}

/// Binds a socket of mode 0600. A socket that another process of this user left behind, on which no process listens, is
/// removed first.
///
/// # Errors
/// `AddrInUse` if a process listens on the socket. `AlreadyExists` for a file that is not a socket or belongs to
/// another user; it is not removed. Otherwise the system's error.
pub fn bind_unix(path: &Path) -> io::Result<UnixSocket> {
    clear(path)?;
    // The file is created with its final mode. If the mode were set afterwards, others could connect in between.
    let before = umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    umask(before);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(UnixSocket { listener, file: Some(Arc::new(SocketFile::of(path)?)) })
}

/// Checks whether [`bind_unix`] would succeed. A socket with another name is created in the same directory and removed
/// again, since only the file system knows whether it supports sockets.
///
/// # Errors
/// As [`bind_unix`].
pub(super) fn try_bind_unix(path: &Path) -> io::Result<()> {
    SocketAddr::from_pathname(path)?;
    is_leftover(path)?;
    let beside = path.with_file_name(format!(".{}.sock", random_name()));
    mknodat(CWD, &beside, FileType::Socket, Mode::from_raw_mode(0o600), 0)?;
    fs::remove_file(&beside)
}

fn clear(path: &Path) -> io::Result<()> {
    if is_leftover(path)? { fs::remove_file(path) } else { Ok(()) }
}

/// Whether the path is a socket that belongs to this user and on which no process listens.
fn is_leftover(path: &Path) -> io::Result<bool> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    if !there.file_type().is_socket() || there.uid() != geteuid().as_raw() {
        let what = "the path exists and is not a socket of this user";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    // Non-blocking: a connect to a socket with a full accept queue would block, although a process listens on it.
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = |now: &fs::Metadata| now.dev() == self.device && now.ino() == self.inode;
        if *self.owned.get_mut() && fs::symlink_metadata(&self.path).is_ok_and(|now| ours(&now)) {
            // This fails if the file is gone or cannot be removed; the next start handles that.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::{bind_unix, try_bind_unix};

    #[test]
    fn a_trial_finds_what_a_bind_would_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file.sock"), "").unwrap();
        drop(UnixListener::bind(path("left.sock")).unwrap());
        let _listens = UnixListener::bind(path("used.sock")).unwrap();
        let long = "l".repeat(120);
        for name in ["new.sock", "left.sock", "used.sock", "file.sock", "none/a.sock", "file.sock/a.sock", &long] {
            let tried = try_bind_unix(&path(name)).map_err(|error| error.kind());
            let listed = std::fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(listed, 3, "{name}");
            assert_eq!(tried, bind_unix(&path(name)).map(drop).map_err(|error| error.kind()), "{name}");
            // The leftover was removed with the socket that replaced it, so a new one is needed.
            if name == "left.sock" {
                drop(UnixListener::bind(path(name)).unwrap());
            }
        }
    }

    #[test]
    fn only_a_leftover_of_ours_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let first = bind_unix(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bind_unix(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(first);
        assert!(!path.exists(), "it goes with its listener");
        // A listener of the standard library leaves its file behind, as a crashed process does.
        drop(UnixListener::bind(&path).unwrap());
        let second = bind_unix(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        drop(second);
        assert_eq!(bind_unix(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
