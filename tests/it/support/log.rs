//! The lines that a child process prints, kept so that tests can wait for them.
//!
//! Lines that are JSON objects can be searched as objects; other lines are kept for the report of a failure.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

/// A position in a log. Lines before it are ignored.
///
/// tlsramp writes its log in batches, and a busy machine reads it late, so a line that arrives after the mark may be
/// older than the mark. Therefore the line's own timestamp decides. The mark waits for the start of a millisecond, the
/// resolution of mongod's timestamps, so that older lines have smaller timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    lines: usize,
    /// Microseconds since 1970.
    time: u64,
}

impl Mark {
    /// The beginning of the log.
    pub(crate) const START: Self = Self { lines: 0, time: 0 };

    fn now(lines: usize) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set");
        let millisecond = u64::try_from(now.as_millis()).expect("a year below half a billion") + 1;
        thread::sleep(Duration::from_millis(millisecond).saturating_sub(now));
        Self { lines, time: millisecond * 1000 }
    }

    /// Whether the connection of this record was accepted after the mark.
    pub(crate) fn precedes(self, record: &Value) -> bool {
        let ended = record["timestamp"].as_str().and_then(microseconds);
        let accepted = ended.zip(record["duration_ms"].as_u64()).map(|(ended, open)| ended.saturating_sub(open * 1000));
        accepted.is_none_or(|accepted| accepted >= self.time)
    }

    /// Whether a line that arrived after the mark is also newer. A line without a timestamp is considered newer.
    fn admits(self, line: &str) -> bool {
        self.time == 0 || timestamp(line).is_none_or(|time| time >= self.time)
    }
}

/// A log that grows while it is read. Clones refer to the same log.
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
    /// A copy on disk, for inspection while a test hangs.
    copy: File,
    /// Number of streams that have not ended. At zero, no more lines will arrive.
    streams: usize,
}

impl Log {
    /// Creates an empty log with a copy at `path`.
    pub(crate) fn new(path: &Path) -> Self {
        let copy = File::create(path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        let state = Mutex::new(State { lines: Vec::new(), copy, streams: 0 });
        Self(Arc::new(Shared { state, grown: Condvar::new() }))
    }

    /// Adds every line of a stream until it ends, on a separate thread.
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

    /// The current end of the log.
    pub(crate) fn mark(&self) -> Mark {
        let lines = self.state().lines.len();
        Mark::now(lines)
    }

    /// The lines after `mark`, as printed.
    pub(crate) fn lines(&self, mark: Mark) -> Vec<String> {
        self.state().lines[mark.lines..].iter().filter(|line| mark.admits(line)).cloned().collect()
    }

    /// The JSON objects among the lines after `mark`.
    pub(crate) fn objects(&self, mark: Mark) -> Vec<Value> {
        self.lines(mark).iter().filter_map(|line| object(line)).collect()
    }

    /// Waits for the first JSON object after `mark` for which `wanted` returns true.
    ///
    /// # Errors
    ///
    /// A text with the end of the log: the object was not printed within `limit`, or the child has closed its output.
    pub(crate) fn wait(
        &self,
        mark: Mark,
        limit: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<Value, String> {
        self.wait_for(mark, limit, |line| object(line).filter(|value| wanted(value)))
    }

    /// As [`wait`](Self::wait), for lines that need not be JSON.
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
        let mut next = mark.lines;
        loop {
            // `wanted` is code of the test, so it must not run under the lock that the reader needs.
            let (fresh, ended) = {
                let state = self.state();
                (state.lines[next..].to_vec(), state.streams == 0)
            };
            next += fresh.len();
            if let Some(found) = fresh.iter().filter(|line| mark.admits(line)).find_map(|line| wanted(line)) {
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

    /// The last forty lines, for the report of a failure.
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

/// The time at which a line was printed according to its own timestamp, in microseconds since 1970. Lines of tlsramp,
/// mongod and the application begin with a timestamp.
fn timestamp(line: &str) -> Option<u64> {
    let text = line.strip_prefix("{\"timestamp\":").or_else(|| line.strip_prefix("{\"t\":{\"$date\":"))?;
    microseconds(text.trim_start().strip_prefix('"')?.split('"').next()?)
}

fn microseconds(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let seconds = number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
    let rest = text.get(20..)?;
    let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let fraction = format!("{:0<6}", &rest[..digits]).parse::<u64>().ok()?;
    // `Z`, or the offset from UTC: `+01:00`.
    let zone = &rest[digits..];
    let minutes = |zone: &str| Some(zone.get(1..3)?.parse::<u64>().ok()? * 60 + zone.get(4..6)?.parse::<u64>().ok()?);
    let utc = (days(year, month, day) * 86_400 + seconds) * 1_000_000 + fraction;
    let offset = minutes(zone).unwrap_or(0) * 60_000_000;
    if zone.starts_with('-') { Some(utc + offset) } else { utc.checked_sub(offset) }
}

/// Number of days from 1970 to a date of the Gregorian calendar. Years start in March, so that a leap day is the last
/// day of its year.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month > 2 { year } else { year - 1 };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

mod tests {
    use super::{Log, Mark, timestamp};
    use crate::support::Scratch;

    #[test]
    fn timestamps_are_read() {
        let of = |text: &str| timestamp(text);
        assert_eq!(of(r#"{"timestamp":"1970-01-01T00:00:01.000002Z","a":1}"#), Some(1_000_002));
        assert_eq!(of(r#"{"timestamp": "2000-03-01T00:00:00.000000Z"}"#), Some(951_868_800_000_000));
        assert_eq!(of(r#"{"t":{"$date":"2024-02-29T13:00:00.250+01:00"},"s":"I"}"#), Some(1_709_208_000_250_000));
        assert_eq!(of(r#"{"event":"beat"}"#), None);
    }

    #[test]
    fn a_line_that_comes_late_is_older_than_the_mark() {
        let folder = Scratch::new("log");
        let log = Log::new(&folder.join("log"));
        let mark = log.mark();
        let lines =
            [r#"{"timestamp":"1999-01-01T00:00:00.000000Z"}"#, "{}", r#"{"timestamp":"2999-01-01T00:00:00.000000Z"}"#];
        log.follow(std::io::Cursor::new(lines.join("\n")));
        let _ = log.wait(Mark::START, std::time::Duration::from_secs(10), |_| false);
        assert_eq!((log.lines(Mark::START).len(), log.lines(mark).len()), (3, 2));
    }
}
