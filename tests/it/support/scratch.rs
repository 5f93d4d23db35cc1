//! Folders for one run of the tests, under `target/tmp`.
//!
//! Each goes when its handle is dropped. What is left by statics (never dropped) or by a killed run is swept by the
//! next one: a run holds a file lock for as long as it lives, and folders whose lock is free belong to nobody.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A folder, removed with all that is in it on drop.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new, empty folder; `label` is part of its name.
    pub(crate) fn new(label: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = RUN.folder.join(format!("{label}-{number}"));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Self(path)
    }

    /// Where it is; absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// All folders of this process.
struct Run {
    folder: PathBuf,
    /// Held, not read: tells the sweep of other processes that this run lives.
    _lock: File,
}

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    begin(all).unwrap_or_else(|error| panic!("cannot make a folder in {}: {error}", all.display()))
});

fn begin(all: &Path) -> io::Result<Run> {
    fs::create_dir_all(all)?;
    // One sweeper or beginner at a time, so that nobody sees a folder whose lock is not held yet.
    let door = File::create(all.join("runs.lock"))?;
    door.lock()?;
    for entry in fs::read_dir(all)? {
        let folder = entry?.path();
        let is_run = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("run-"));
        if is_run && File::create(folder.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(&folder);
        }
    }
    let folder = all.join(format!("run-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    Ok(Run { folder, _lock: lock })
}
