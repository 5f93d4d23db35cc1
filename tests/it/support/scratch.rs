//! Folders for one run of the tests, under `target/tmp`.
//!
//! Each folder is removed when its handle is dropped. The next run removes folders of statics (which are never dropped)
//! and of killed runs: a run holds a file lock as long as it lives, and folders whose lock is free are not used any
//! more.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A folder that is removed with its contents on drop.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Creates a new folder; `label` is part of its name.
    pub(crate) fn new(label: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = RUN.folder.join(format!("{label}-{number}"));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Self(path)
    }

    /// Its absolute path.
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
    /// Held but not read: it tells other processes' cleanup that this run is alive.
    _lock: File,
}

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    begin(all).unwrap_or_else(|error| panic!("cannot make a folder in {}: {error}", all.display()))
});

fn begin(all: &Path) -> io::Result<Run> {
    fs::create_dir_all(all)?;
    // Only one run may clean up or begin at a time, so that no run sees a folder whose lock is not held yet.
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
