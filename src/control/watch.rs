//! Files that are read again when they change: those of TLS, and the configuration if that is wished.
//!
//! Directories are watched, not files: a file that is replaced is another file. What counts is the content, compared
//! with the content last seen, so that it does not matter how a file was replaced: written in place, renamed over, or
//! by the swap of a symbolic link on its way, as Kubernetes does. A file that is gone or cannot be read has not
//! changed until it is there again.

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

use super::caller::Caller;
use super::change::ChangeError;
use super::controller::Controller;
use crate::config::WatchScope;
use crate::files;
use crate::limits::{PEM_FILE_BYTES, WATCH_LINKS, WATCH_LONGEST, WATCH_QUIET, WATCH_RECHECK};

impl Controller {
    /// Reads changed files again, without end; what cannot be used leaves the old in force.
    pub async fn watch_files(self: Arc<Controller>) {
        if self.settings().admin.watch == WatchScope::Off {
            return;
        }
        let mut watch = Watch::start(self.watched(), self.loaded().read_at);
        let mut refused = None;
        loop {
            tokio::select! {
                changed = watch.changed() => refused = self.take_up(changed).await.err(),
                // What it was refused for may have passed: a lease, a server that was down, a date that had not come.
                () = sleep(WATCH_RECHECK), if refused.is_some() => {
                    refused = match refused {
                        Some(Changed::Certificates) if !self.has_become_usable().await => refused,
                        again => self.take_up(again.unwrap_or(Changed::Certificates)).await.err(),
                    };
                }
                // Other files may be named now.
                () = self.reloaded.notified() => {}
            }
            watch.follow(self.watched());
        }
    }

    /// Takes up what has changed. What came of it, the controller has logged.
    ///
    /// # Errors
    /// What is to be tried again later: a configuration that was refused, or files that are out of date.
    async fn take_up(&self, changed: Changed) -> Result<(), Changed> {
        if changed == Changed::Configuration && self.reload(&Caller::WATCH).await.is_ok() {
            return Ok(());
        }
        // Certificates that changed with it are good, or not, whatever it is.
        let rotated = self.rotate(false, &Caller::WATCH).await;
        match (changed, rotated) {
            (Changed::Configuration, _) => Err(Changed::Configuration),
            (Changed::Certificates, Err(ChangeError::Unusable(_))) => Err(Changed::Certificates),
            (Changed::Certificates, _) => Ok(()),
        }
    }

    fn watched(&self) -> Watched {
        let settings = self.settings();
        let tls = settings.tls;
        let certificates = [tls.certificate_key, tls.cluster, tls.ca, tls.cluster_ca, tls.crl];
        let configuration = settings.file.filter(|_| settings.admin.watch == WatchScope::All);
        Watched { certificates: certificates.into_iter().flatten().collect(), configuration }
    }
}

/// Which files are watched.
#[derive(Debug, Clone, Default)]
struct Watched {
    certificates: Vec<PathBuf>,
    configuration: Option<PathBuf>,
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    Certificates,
    /// And certificates too, perhaps.
    Configuration,
}

/// A watch on some files.
#[derive(Debug)]
struct Watch {
    files: Watched,
    /// The content last seen of each file.
    seen: HashMap<PathBuf, u64>,
    /// None where the system has no more of them: then files are looked at from time to time.
    watcher: Option<RecommendedWatcher>,
    events: mpsc::Receiver<()>,
    recheck: Duration,
    /// Whether to look at once.
    doubtful: bool,
}

impl Watch {
    /// A watch on files that were read at a moment. What was touched since may be another content than was read.
    fn start(files: Watched, read_at: SystemTime) -> Watch {
        // One place: whoever finds it taken has nothing to add.
        let (stirred, events) = mpsc::channel(1);
        let handler = move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| matters(event.kind)) {
                let _ = stirred.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(handler);
        let watcher = watcher
            .inspect_err(|error| {
                let seconds = WATCH_RECHECK.as_secs();
                tracing::warn!(%error, "files cannot be watched; they are looked at every {seconds} s");
            })
            .ok();
        let mut watch = Watch {
            files: Watched::default(),
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

    /// Watches these files from now on. The content of those that it did not watch before is the one to compare with.
    fn follow(&mut self, files: Watched) {
        let mut seen = HashMap::new();
        for path in files.all() {
            if let Some(content) = self.seen.remove(path).or_else(|| content(path)) {
                seen.insert(path.to_owned(), content);
            }
        }
        (self.files, self.seen) = (files, seen);
        self.watch_folders();
    }

    /// Returns when the content of a file is another than it was.
    async fn changed(&mut self) -> Changed {
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
            // Links may lead elsewhere by now, and folders be others.
            self.watch_folders();
            if let Some(changed) = self.look() {
                return changed;
            }
        }
    }

    /// Waits until nothing more happens, so that files that are written one after the other are read together.
    async fn settle(&mut self) {
        let latest = Instant::now() + WATCH_LONGEST;
        while Instant::now() < latest {
            let until = (Instant::now() + WATCH_QUIET).min(latest);
            if timeout_at(until, self.events.recv()).await.is_err() {
                return;
            }
        }
    }

    /// Compares. The files are few and small, or they would be no configuration: they are read at once.
    fn look(&mut self) -> Option<Changed> {
        let mut is_new =
            |path: &PathBuf| content(path).is_some_and(|now| self.seen.insert(path.clone(), now) != Some(now));
        let certificates = self.files.certificates.iter().filter(|path| is_new(path)).count() > 0;
        let configuration = self.files.configuration.as_ref().is_some_and(&mut is_new);
        if configuration { Some(Changed::Configuration) } else { certificates.then_some(Changed::Certificates) }
    }

    fn watch_folders(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let folders: BTreeSet<PathBuf> = self.files.all().flat_map(|path| folders(path)).collect();
        for folder in folders {
            // Again each time: the folder of this name may be another. One that cannot be watched is looked at.
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                tracing::debug!(folder = %folder.display(), %error, "cannot be watched");
            }
        }
    }
}

impl Watched {
    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.certificates.iter().chain(&self.configuration)
    }
}

/// Whether an event may have to do with a content. Reading, our own included, has not.
fn matters(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

/// Whether a file, or a link that leads to it, was changed since a moment.
fn is_touched(path: &Path, since: SystemTime) -> bool {
    let modified = |metadata: std::io::Result<fs::Metadata>| metadata.and_then(|metadata| metadata.modified());
    [fs::symlink_metadata(path), fs::metadata(path)].map(modified).iter().flatten().any(|modified| *modified >= since)
}

/// A content in a number; none if it cannot be read now.
fn content(path: &Path) -> Option<u64> {
    let bytes = files::read(path, PEM_FILE_BYTES).ok()?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Some(hasher.finish())
}

/// The folders in which a change can lead a path to another content: that of the file, and of each link on the way. Where
/// one is not there, the nearest above it that is.
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
