//! A process on a host, and the lines that it prints.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::support::{Mark, log::Log, process};

/// A process, killed on drop. If the test is failing at that time, the end of the process's log is printed.
#[derive(Debug)]
pub(crate) struct Running {
    what: String,
    child: Child,
    pub(crate) log: Log,
}

impl Running {
    /// Starts the process; its log is also written to `copy`.
    pub(crate) fn start(what: &str, mut command: Command, copy: &Path) -> Self {
        let log = Log::new(copy);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process::spawn(command).unwrap_or_else(|error| panic!("{what}: {error}"));
        log.follow(child.stdout.take().expect("piped"));
        log.follow(child.stderr.take().expect("piped"));
        Self { what: what.to_owned(), child, log }
    }

    /// Waits for the first line of the log after `mark` for which `wanted` returns true.
    #[track_caller]
    pub(crate) fn wait(&self, mark: Mark, limit: Duration, wanted: impl FnMut(&Value) -> bool) -> Value {
        self.log.wait(mark, limit, wanted).unwrap_or_else(|why| panic!("{}: {why}", self.what))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input.
    pub(crate) fn stdin(&mut self) -> &mut ChildStdin {
        self.child.stdin.as_mut().expect("piped")
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("can be asked").is_some()
    }

    /// Waits for the process to end by itself; `None` if it does not within `limit`.
    pub(crate) fn wait_end(&mut self, limit: Duration) -> Option<ExitStatus> {
        let status = process::wait(&mut self.child, limit).expect("can be waited for");
        // Waits for the last lines of the log, which a separate thread reads.
        let _ = self.log.wait(Mark::START, limit, |_| false);
        status
    }

    /// The number of its open descriptors of each kind: `socket`, `pipe`, `anon_inode`, or a path.
    pub(crate) fn open_fds(&self) -> BTreeMap<String, usize> {
        let open = fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").flatten();
        let mut kinds = BTreeMap::new();
        // A descriptor that was closed in the meantime has no link any more.
        for link in open.filter_map(|entry| fs::read_link(entry.path()).ok()) {
            let link = link.to_string_lossy().into_owned();
            let kind = if link.starts_with('/') { link.as_str() } else { link.split(':').next().unwrap_or("") };
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
        kinds
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal and waits until the process has ended.
    #[track_caller]
    pub(crate) fn end(&mut self, signal: Signal, limit: Duration) -> ExitStatus {
        if !self.has_ended() {
            kill_process(process::pid(&self.child), signal).expect("it is there to be signalled");
        }
        let ended = process::wait(&mut self.child, limit).expect("can be waited for");
        ended.unwrap_or_else(|| panic!("{} does not end within {limit:?} of {signal:?}", self.what))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("the end of the log of {} ({}):\n{}", self.what, self.pid(), self.log.tail());
        }
    }
}
