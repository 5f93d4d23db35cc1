//! The lines that a child prints, kept and waited on.
//!
//! Lines that are JSON objects can be searched as such; others are kept for the report of a failure.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tlsramp::testing::LOG_NAP;

/// A place in a log: what was printed before it is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Mark(usize);

impl Mark {
    /// The beginning of the log.
    pub(crate) const START: Self = Self(0);
}

/// A log that grows while it is read. Clones are the same log.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug)]
struct State {
    lines: Vec<String>,
    /// A copy on disk, for a person to look at while a test hangs.
    copy: File,
    /// Streams not yet at their end. At zero, no more lines will come.
    streams: usize,
}

impl Log {
    /// An empty log with its copy at `path`.
    pub(crate) fn new(path: &Path) -> Self {
        let copy = File::create(path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        let state = Mutex::new(State { lines: Vec::new(), copy, streams: 0 });
        Self(Arc::new(Shared { state, grown: Condvar::new() }))
    }

    /// Adds every line of a stream, to its end, by a thread of its own.
    pub(crate) fn follow(&self, stream: impl Read + Send + 'static) {
        self.state().streams += 1;
        let log = self.clone();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut bytes = Vec::new();
            while stream.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
                let mut state = log.state();
                let _ = state.copy.write_all(&bytes);
                state.lines.push(String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned());
                log.0.grown.notify_all();
                bytes.clear();
            }
            log.state().streams -= 1;
            log.0.grown.notify_all();
        });
    }

    /// The end of the log as of now. tlsramp writes its log in batches: what it has logged by now is let in first.
    pub(crate) fn mark(&self) -> Mark {
        thread::sleep(5 * LOG_NAP);
        Mark(self.state().lines.len())
    }

    /// The lines from `mark` on, as printed.
    pub(crate) fn lines(&self, mark: Mark) -> Vec<String> {
        self.state().lines[mark.0..].to_vec()
    }

    /// The JSON objects among the lines from `mark` on.
    pub(crate) fn objects(&self, mark: Mark) -> Vec<Value> {
        self.lines(mark).iter().filter_map(|line| object(line)).collect()
    }

    /// The first JSON object from `mark` on that is `wanted`; waits for it to be printed.
    ///
    /// # Errors
    ///
    /// In words, with the end of the log: not within `limit`, or never, because the child has closed its output.
    pub(crate) fn wait(
        &self,
        mark: Mark,
        limit: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<Value, String> {
        self.wait_for(mark, limit, |line| object(line).filter(|value| wanted(value)))
    }

    /// The same of lines that need not be JSON.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub(crate) fn wait_line(
        &self,
        mark: Mark,
        limit: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String, String> {
        self.wait_for(mark, limit, |line| wanted(line).then(|| line.to_owned()))
    }

    fn wait_for<T>(&self, mark: Mark, limit: Duration, mut wanted: impl FnMut(&str) -> Option<T>) -> Result<T, String> {
        let deadline = Instant::now() + limit;
        let mut next = mark.0;
        loop {
            // `wanted` is the test's code: it must not run under the lock that the reader needs.
            let (fresh, ended) = {
                let state = self.state();
                (state.lines[next..].to_vec(), state.streams == 0)
            };
            next += fresh.len();
            if let Some(found) = fresh.iter().find_map(|line| wanted(line)) {
                return Ok(found);
            }
            if ended {
                return Err(format!("the output ended without the line awaited; its end:\n{}", self.tail()));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("no such line within {limit:?}; the log's end:\n{}", self.tail()));
            }
            let quiet = |state: &mut State| state.lines.len() == next && state.streams > 0;
            drop(self.0.grown.wait_timeout_while(self.state(), left, quiet));
        }
    }

    /// The last forty lines, for a report.
    pub(crate) fn tail(&self) -> String {
        let state = self.state();
        state.lines[state.lines.len().saturating_sub(40)..].join("\n")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn object(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok().filter(Value::is_object)
}
