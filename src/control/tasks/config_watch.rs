//! Reloads files when they change: the TLS files, and with `--watch all` the configuration.
//!
//! Directories are watched, not files, since a replaced file is another inode. The content is compared with the content
//! last seen, so that any way of replacing a file is noticed: writing in place, renaming over it, or swapping a
//! symbolic link on its path, as Kubernetes does. A file that is missing or cannot be read counts as unchanged until it
//! can be read again.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::{self, Settings, WatchScope};
use crate::control::blocking::blocking;
use crate::control::caller::Caller;
use crate::control::change::ChangeError;
use crate::control::checks::tls_files::outdated;
use crate::control::controller::Controller;
use crate::control::view::View;
use crate::files;
use crate::limits::{PEM_FILE_BYTES, WATCH_LINKS, WATCH_LONGEST, WATCH_QUIET, WATCH_RECHECK};

/// Reloads changed files until the task is aborted. If a file is refused, the old one stays in force.
pub(super) async fn run(controller: Arc<Controller>) {
    let loaded = controller.view().loaded();
    if loaded.settings.admin.watch == WatchScope::Off {
        return;
    }
    let mut watch = FileWatch::start(WatchedFiles::of(&loaded.settings), loaded.read_at);
    let mut refused = None;
    loop {
        tokio::select! {
            changed = watch.changed() => refused = read_again(&controller, changed).await.err(),
            // The reason for the refusal may have passed: a lease, a server that was down, a date in the future.
            () = sleep(WATCH_RECHECK), if refused.is_some() => {
                refused = match refused {
                    Some(ChangedFiles::Certificates) if !has_become_usable(controller.view()).await => refused,
                    again => read_again(&controller, again.unwrap_or(ChangedFiles::Certificates)).await.err(),
                };
            }
            // The new configuration may name other files.
            () = controller.reloaded() => {}
        }
        watch.follow(WatchedFiles::of(&controller.view().loaded().settings));
    }
}

/// Reloads the changed files. The controller logs the result.
///
/// # Errors
/// The files to try again later: a configuration that was refused, or TLS files that are out of date.
async fn read_again(controller: &Arc<Controller>, changed: ChangedFiles) -> Result<(), ChangedFiles> {
    if changed == ChangedFiles::Configuration && controller.reload(&Caller::WATCH).await.is_ok() {
        return Ok(());
    }
    // If the configuration was refused, certificates that changed with it are still reloaded, without the
    // configuration.
    let rotated = controller.rotate(false, &Caller::WATCH).await;
    match (changed, rotated) {
        (ChangedFiles::Configuration, _) => Err(ChangedFiles::Configuration),
        (ChangedFiles::Certificates, Err(ChangeError::Unusable(_))) => Err(ChangedFiles::Certificates),
        (ChangedFiles::Certificates, _) => Ok(()),
    }
}

/// Whether TLS files that were refused as out of date would be accepted now. Not logged, since it is checked
/// repeatedly.
async fn has_become_usable(view: &View) -> bool {
    let loaded = view.loaded();
    let read = blocking(move || config::material(&loaded)).await;
    let Ok(Ok((material, _))) = read else { return false };
    outdated(&view.snapshot().tls, &material, false).is_ok()
}

#[derive(Debug, Clone, Default)]
struct WatchedFiles {
    certificates: Vec<PathBuf>,
    configuration: Option<PathBuf>,
}

/// The kinds of files that have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChangedFiles {
    Certificates,
    /// The configuration, and perhaps TLS files too.
    Configuration,
}

/// A watch on a group of files.
#[derive(Debug)]
struct FileWatch {
    files: WatchedFiles,
    /// A hash of the content last seen of each file.
    seen: HashMap<PathBuf, u64>,
    /// `None` if the system has no watches left: files are then read at intervals.
    watcher: Option<RecommendedWatcher>,
    events: mpsc::Receiver<()>,
    recheck: Duration,
    /// Whether to compare the contents at once.
    doubtful: bool,
}

impl FileWatch {
    /// Starts a watch on files that were read at `read_at`. Files modified since then may differ from what was read.
    fn start(files: WatchedFiles, read_at: SystemTime) -> FileWatch {
        // A capacity of one event suffices: any event causes a comparison of all files.
        let (changed, events) = mpsc::channel(1);
        let handler = move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| matters(event.kind)) {
                let _ = changed.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(handler);
        let watcher = watcher
            .inspect_err(|error| {
                let seconds = WATCH_RECHECK.as_secs();
                tracing::warn!(%error, "files cannot be watched; they are read every {seconds} s instead");
            })
            .ok();
        let mut watch = FileWatch {
            files: WatchedFiles::default(),
            seen: HashMap::new(),
            watcher,
            events,
            recheck: WATCH_RECHECK,
            doubtful: false,
        };
        watch.follow(files);
        let before = watch.seen.len();
        watch.seen.retain(|path, _| !is_touched(path, read_at));
        watch.doubtful = watch.seen.len() < before;
        watch
    }

    /// Watches `files` from now on. The present content of added files counts as seen.
    fn follow(&mut self, files: WatchedFiles) {
        let mut seen = HashMap::new();
        for path in files.all() {
            if let Some(content) = self.seen.remove(path).or_else(|| content(path)) {
                seen.insert(path.to_owned(), content);
            }
        }
        (self.files, self.seen) = (files, seen);
        self.watch_folders();
    }

    /// Returns when the content of a file has changed.
    async fn changed(&mut self) -> ChangedFiles {
        if std::mem::take(&mut self.doubtful)
            && let Some(changed) = self.look()
        {
            return changed;
        }
        loop {
            tokio::select! {
                event = self.events.recv(), if self.watcher.is_some() => {
                    if event.is_some() {
                        self.settle().await;
                    }
                }
                () = sleep(self.recheck) => {}
            }
            // Links and folders may have been replaced, so the watches are set again.
            self.watch_folders();
            if let Some(changed) = self.look() {
                return changed;
            }
        }
    }

    /// Waits until events cease, so that files written one after the other are read together.
    async fn settle(&mut self) {
        let latest = Instant::now() + WATCH_LONGEST;
        while Instant::now() < latest {
            let until = (Instant::now() + WATCH_QUIET).min(latest);
            if timeout_at(until, self.events.recv()).await.is_err() {
                return;
            }
        }
    }

    /// Compares all files with the content last seen. The files are few and bounded in size.
    fn look(&mut self) -> Option<ChangedFiles> {
        let mut is_new =
            |path: &PathBuf| content(path).is_some_and(|now| self.seen.insert(path.clone(), now) != Some(now));
        let certificates = self.files.certificates.iter().filter(|path| is_new(path)).count() > 0;
        let configuration = self.files.configuration.as_ref().is_some_and(&mut is_new);
        if configuration {
            Some(ChangedFiles::Configuration)
        } else {
            certificates.then_some(ChangedFiles::Certificates)
        }
    }

    fn watch_folders(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let folders: BTreeSet<PathBuf> = self.files.all().flat_map(|path| folders(path)).collect();
        for folder in folders {
            // Sets the watch again each time: the folder may have been replaced. If this fails, the periodic comparison
            // finds changes.
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                tracing::debug!(folder = %folder.display(), %error, "cannot be watched");
            }
        }
    }
}

impl WatchedFiles {
    fn of(settings: &Settings) -> WatchedFiles {
        let tls = &settings.tls;
        let certificates = [&tls.certificate_key, &tls.cluster, &tls.ca, &tls.cluster_ca, &tls.crl];
        WatchedFiles {
            certificates: certificates.into_iter().flatten().cloned().collect(),
            configuration: settings.file.clone().filter(|_| settings.admin.watch == WatchScope::All),
        }
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.certificates.iter().chain(&self.configuration)
    }
}

/// Whether an event may indicate changed content. Reads, including our own, do not.
fn matters(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

/// Whether a path, if it is a link, or the file that it leads to was changed since a moment.
fn is_touched(path: &Path, since: SystemTime) -> bool {
    let modified = |metadata: std::io::Result<fs::Metadata>| metadata.and_then(|metadata| metadata.modified());
    [fs::symlink_metadata(path), fs::metadata(path)].map(modified).iter().flatten().any(|modified| *modified >= since)
}

/// A hash of the content; `None` if it cannot be read.
fn content(path: &Path) -> Option<u64> {
    let bytes = files::read(path, PEM_FILE_BYTES).ok()?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Some(hasher.finish())
}

/// The folder of a path and, if the path is a link, that of each path that the links name in turn. If a folder does not
/// exist, its nearest existing ancestor. A link among the parent folders is not followed: what it leads to is compared
/// periodically.
fn folders(path: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut path = path.to_owned();
    for _ in 0..WATCH_LINKS {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
        folders.push(there.to_owned());
        let Ok(target) = path.read_link() else { break };
        path = folder.join(target);
    }
    folders
}

#[cfg(test)]
mod tests;
