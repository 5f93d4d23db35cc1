//! The log's writer: takes lines without waiting, and hands them on in batches by a thread of its own.
//!
//! A thread that is woken for every line costs a busy proxy more than the lines do, so it naps before it writes. It refuses
//! to make anybody wait: lines beyond the bound are dropped and counted.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use crate::limits::{LOG_FAREWELL, LOG_NAP, LOG_QUEUE_LINES};

/// Where lines are put. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<Shared>);

/// Holds the writing thread; dropping it has the rest written, for so long as that takes at most.
#[derive(Debug)]
pub(super) struct Writing(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    lines: usize,
    dropped: usize,
    closing: bool,
    closed: bool,
}

impl Lines {
    /// Starts a thread that writes what is put here to `out`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Lines, Writing)> {
        let lines = Lines::default();
        let shared = Arc::clone(&lines.0);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_to(out))?;
        let writing = Writing(Arc::clone(&lines.0));
        Ok((lines, writing))
    }

    /// Lines lost so far: to the bound, or to an error of the output.
    pub(super) fn dropped(&self) -> usize {
        self.0.state().dropped
    }

    fn put(&self, line: &[u8]) {
        let mut state = self.0.state();
        if state.lines >= LOG_QUEUE_LINES {
            state.dropped += 1;
            return;
        }
        state.waiting.extend_from_slice(line);
        state.lines += 1;
        // The thread sleeps only while nothing waits.
        let first = state.lines == 1;
        drop(state);
        if first {
            self.0.changed.notify_all();
        }
    }
}

/// One line, as the formatter writes it: whole.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Lines;

    fn make_writer(&'a self) -> &'a Lines {
        self
    }
}

impl Shared {
    fn write_to(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        let mut cut = false;
        loop {
            let waiting = self.changed.wait_while(self.state(), |state| state.lines == 0 && !state.closing);
            // More lines come while it naps, without a wake-up each; whoever closes the log ends the nap.
            let nap = waiting.map(|state| self.changed.wait_timeout_while(state, LOG_NAP, |state| !state.closing));
            drop(nap);
            let closing = {
                let mut state = self.state();
                std::mem::swap(&mut state.waiting, &mut batch);
                state.lines = 0;
                state.closing
            };
            let lost = write_lines(&mut out, &batch, &mut cut);
            batch.clear();
            // A burst's memory is given back.
            batch.shrink_to(BATCH_KEPT);
            let mut state = self.state();
            state.dropped += lost;
            if closing && state.lines == 0 {
                state.closed = true;
                self.changed.notify_all();
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.state().closing = true;
        self.0.changed.notify_all();
        // A reader that takes nothing is not waited for without end.
        drop(self.0.changed.wait_timeout_while(self.0.state(), LOG_FAREWELL, |state| !state.closed));
    }
}

/// Writes whole lines and returns how many of them were lost to an error: a full disk, a reader that is gone. `cut` holds
/// from one call to the next whether the last line that was written is incomplete; the next one then begins on a new line.
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

/// Bytes of a batch whose memory is kept for the next.
const BATCH_KEPT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::Lines;
    use crate::limits::LOG_QUEUE_LINES;

    /// Hands on what is written, and writes only while it is let.
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

    /// Takes so many bytes, then fails until it has failed as often as it should.
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
        let (lines, writing) = Lines::start(Slow(let_go, written)).unwrap();
        lines.put(b"first\n");
        go.send(()).unwrap();
        assert_eq!(read.recv().unwrap(), b"first\n");
        // The writer has the next, and waits with it.
        lines.put(b"second\n");
        while lines.0.state().lines > 0 {
            std::thread::yield_now();
        }
        (0..LOG_QUEUE_LINES + 3).for_each(|_| lines.put(b"x\n"));
        assert_eq!(lines.dropped(), 3);
        drop(go);
        drop(writing);
        assert_eq!(read.recv().unwrap(), b"second\n");
        assert_eq!(read.iter().map(|batch| batch.len()).sum::<usize>(), 2 * LOG_QUEUE_LINES);
    }
}
