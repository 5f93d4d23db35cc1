//! The writer of the log: queues lines without blocking, and writes them in batches on a thread of its own.
//!
//! The line of a connection is queued as a record, which the thread formats. Formatting many lines in a row takes a
//! fraction of the time that it takes between other work, because code and data stay in the processor's caches. Other
//! lines are formatted where they occur. The queue has both kinds, in the order in which they occurred.
//!
//! On a busy proxy, waking the thread for every line would cost more than the lines themselves, so the thread sleeps
//! for a moment before it writes. Lines beyond the queue's bound are dropped and counted.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tracing_subscriber::fmt::MakeWriter;

use super::ended_connection::EndedConnection;
use crate::limits::{LOG_FAREWELL, LOG_LINE_BYTES, LOG_NAP, LOG_QUEUE_LINES};

/// The sending side. Clones share the queue.
#[derive(Debug, Clone, Default)]
pub(super) struct LogWriter(Arc<LogQueue>);

/// Keeps the thread running. Dropping it waits until the queue is written, for a bounded time.
#[derive(Debug)]
pub(super) struct LogWriterGuard(Arc<LogQueue>);

#[derive(Debug, Default)]
struct LogQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: LogLines,
    dropped: usize,
    closing: bool,
    closed: bool,
}

/// Lines in their order.
#[derive(Debug, Default)]
struct LogLines {
    lines: Vec<LogLine>,
    /// The formatted lines.
    text: Vec<u8>,
    /// The sum of the weights of all lines. A formatted line counts as 1, the record of a connection as the number of
    /// usual lines that take as much memory.
    weight: usize,
}

#[derive(Debug)]
enum LogLine {
    /// A formatted line of this number of bytes.
    Formatted(usize),
    Connection(EndedConnection),
}

thread_local! {
    /// The batch that this thread formats, and the time of its next line. Only the log's thread has one.
    static BATCH: RefCell<Option<(Vec<u8>, SystemTime)>> = const { RefCell::new(None) };
}

/// The time of the line that this thread formats, if it is the log's thread.
pub(super) fn time_of_line() -> Option<SystemTime> {
    BATCH.with_borrow(|batch| batch.as_ref().map(|(_, time)| *time))
}

impl LogWriter {
    /// Starts a thread that writes queued lines to `out`.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(LogWriter, LogWriterGuard)> {
        let lines = LogWriter::default();
        let shared = Arc::clone(&lines.0);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_to(out))?;
        let writing = LogWriterGuard(Arc::clone(&lines.0));
        Ok((lines, writing))
    }

    /// Number of lines lost so far, because the queue was full or the output failed.
    pub(super) fn dropped(&self) -> usize {
        self.0.state().dropped
    }

    /// Queues the line of a connection.
    pub(super) fn queue(&self, connection: EndedConnection) {
        let weight = 1 + connection.excess_bytes() / LOG_LINE_BYTES;
        self.put(LogLine::Connection(connection), &[], weight);
    }

    /// Queues a line, with its text if it is formatted.
    fn put(&self, line: LogLine, text: &[u8], weight: usize) {
        let mut state = self.0.state();
        if state.waiting.weight >= LOG_QUEUE_LINES {
            state.dropped += 1;
            return;
        }
        // Only an empty queue makes the thread wait, so only the first line has to wake it.
        let first = state.waiting.weight == 0;
        state.waiting.text.extend_from_slice(text);
        state.waiting.lines.push(line);
        state.waiting.weight += weight;
        drop(state);
        if first {
            self.0.changed.notify_all();
        }
    }
}

/// Each call takes one line, because the formatter writes whole lines.
impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let is_batch = BATCH
            .with_borrow_mut(|batch| batch.as_mut().map(|(formatted, _)| formatted.extend_from_slice(line)).is_some());
        if !is_batch {
            self.put(LogLine::Formatted(line.len()), line, 1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a LogWriter;

    fn make_writer(&'a self) -> &'a LogWriter {
        self
    }
}

impl LogQueue {
    fn write_to(&self, mut out: impl Write) {
        let (mut batch, mut formatted) = (LogLines::default(), Vec::new());
        let mut cut = false;
        loop {
            let waiting = self.changed.wait_while(self.state(), |state| state.waiting.weight == 0 && !state.closing);
            // Sleeps for a moment, while more lines collect. Closing the log ends the sleep.
            let nap = waiting.map(|state| self.changed.wait_timeout_while(state, LOG_NAP, |state| !state.closing));
            drop(nap);
            let closing = {
                let mut state = self.state();
                std::mem::swap(&mut state.waiting, &mut batch);
                state.closing
            };
            formatted = batch.format(formatted);
            let lost = write_lines(&mut out, &formatted, &mut cut);
            let mut state = self.state();
            state.dropped += lost;
            if closing && state.waiting.weight == 0 {
                state.closed = true;
                self.changed.notify_all();
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogLines {
    /// Formats all lines, in the memory of an earlier batch.
    fn format(&mut self, mut formatted: Vec<u8>) -> Vec<u8> {
        reuse(&mut formatted);
        let mut text = self.text.as_slice();
        for line in self.lines.drain(..) {
            match line {
                LogLine::Formatted(bytes) => {
                    formatted.extend_from_slice(&text[..bytes]);
                    text = &text[bytes..];
                }
                LogLine::Connection(connection) => {
                    BATCH.set(Some((std::mem::take(&mut formatted), connection.ended())));
                    connection.log();
                    formatted = BATCH.take().map(|(formatted, _)| formatted).unwrap_or_default();
                }
            }
        }
        self.weight = 0;
        self.lines.shrink_to(BATCH_KEPT / size_of::<LogLine>());
        reuse(&mut self.text);
        formatted
    }
}

/// Empties a buffer and frees the memory of a burst of lines.
fn reuse(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(BATCH_KEPT);
}

impl Drop for LogWriterGuard {
    fn drop(&mut self) {
        self.0.state().closing = true;
        self.0.changed.notify_all();
        // The wait is bounded, because the reader of the output may not read.
        drop(self.0.changed.wait_timeout_while(self.0.state(), LOG_FAREWELL, |state| !state.closed));
    }
}

/// Writes whole lines and returns how many of them were lost to an error, such as a full disk. `cut` records whether
/// the last line was written incompletely, so that the next call starts a new line.
fn write_lines(out: &mut impl Write, lines: &[u8], cut: &mut bool) -> usize {
    let newline = if *cut && !lines.is_empty() { &b"\n"[..] } else { &[] };
    for part in [newline, lines] {
        let mut rest = part;
        while !rest.is_empty() {
            match out.write(rest) {
                Ok(count) if count > 0 => {
                    *cut = rest.get(count - 1) != Some(&b'\n');
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Another process has made the shared output non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(LOG_NAP),
                Ok(_) | Err(_) => {
                    let left = if part == newline { lines } else { rest };
                    return left.iter().filter(|byte| **byte == b'\n').count();
                }
            }
        }
    }
    let _ = out.flush();
    0
}

/// Size up to which the memory of a batch is kept for the next one.
const BATCH_KEPT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::LogWriter;
    use crate::limits::LOG_QUEUE_LINES;

    /// Passes written bytes to a channel, and writes only when permitted.
    struct Slow(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Accepts `room` bytes, then fails `failures` times.
    struct Full {
        room: usize,
        failures: usize,
        written: Vec<u8>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 && self.failures > 0 {
                self.failures -= 1;
                return Err(io::ErrorKind::StorageFull.into());
            }
            let count = if self.failures > 0 { bytes.len().min(self.room) } else { bytes.len() };
            self.room -= count.min(self.room);
            self.written.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_lost_to_a_full_disk_are_counted_and_the_next_begins_on_a_new_line() {
        let mut out = Full { room: 9, failures: 2, written: Vec::new() };
        let mut cut = false;
        assert_eq!(super::write_lines(&mut out, b"first\nsecond\nthird\n", &mut cut), 2);
        assert_eq!(super::write_lines(&mut out, b"fourth\n", &mut cut), 1);
        assert_eq!(super::write_lines(&mut out, b"fifth\n", &mut cut), 0);
        assert_eq!(out.written, b"first\nsec\nfifth\n");
    }

    #[test]
    fn lines_come_in_order_and_a_slow_reader_costs_those_beyond_the_bound() {
        let (go, let_go) = channel();
        let (written, read) = channel();
        let (lines, writing) = LogWriter::start(Slow(let_go, written)).unwrap();
        let put = |line: &str| (&lines).write_all(line.as_bytes()).unwrap();
        put("first\n");
        go.send(()).unwrap();
        assert_eq!(read.recv().unwrap(), b"first\n");
        // The writer has taken the next line and waits with it.
        put("second\n");
        while lines.0.state().waiting.weight > 0 {
            std::thread::yield_now();
        }
        (0..LOG_QUEUE_LINES + 3).for_each(|_| put("x\n"));
        assert_eq!(lines.dropped(), 3);
        drop(go);
        drop(writing);
        assert_eq!(read.recv().unwrap(), b"second\n");
        assert_eq!(read.iter().map(|batch| batch.len()).sum::<usize>(), 2 * LOG_QUEUE_LINES);
    }
}
