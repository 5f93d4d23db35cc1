//! The log: text or JSON on standard output, by a writer that never blocks the proxy.

use std::fmt;
use std::io::{self, stdout};
use std::sync::OnceLock;
use std::time::SystemTime;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt as lines, reload};

use super::ended_connection::EndedConnection;
use super::log_writer::{LogWriter, LogWriterGuard, time_of_line};
use crate::text::rfc3339_micros;

/// Keeps the log open and changes its level.
#[derive(Debug)]
pub struct LogHandle {
    level: reload::Handle<LevelFilter, Registry>,
    writer: LogWriter,
    _guard: LogWriterGuard,
}

/// The writer of the log, once it is started. There is one log for each process, as in `tracing`.
static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// Starts the log of this process, as text or as JSON with one object per line. Lines beyond the queue's bound are
/// dropped and counted. A second call has no effect.
///
/// # Errors
/// If no thread can be started.
pub fn init(json: bool, level: LevelFilter) -> io::Result<LogHandle> {
    let (writer, guard) = LogWriter::start(stdout())?;
    let (filter, handle) = reload::Layer::new(level);
    let lines = lines::layer().with_writer(writer.clone()).with_ansi(false).with_target(false).with_timer(LineTime);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.boxed()
    };
    // This fails if a log is already installed, as in tests.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = WRITER.set(writer.clone());
    }
    Ok(LogHandle { level: handle, writer, _guard: guard })
}

/// Writes the line of a connection that has ended: later, on the log's thread, or at once if there is none.
pub(super) fn queue(connection: EndedConnection) {
    match WRITER.get() {
        Some(writer) => writer.queue(connection),
        None => connection.log(),
    }
}

impl LogHandle {
    /// Changes the level.
    pub fn set_level(&self, level: LevelFilter) {
        // This fails only if the log is closed.
        let _ = self.level.modify(|filter| *filter = level);
    }

    /// Number of lines lost so far, because the queue was full or the output failed.
    pub fn dropped(&self) -> usize {
        self.writer.dropped()
    }
}

/// The time of a line: when its connection ended, or now.
struct LineTime;

impl FormatTime for LineTime {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        line.write_str(&rfc3339_micros(time_of_line().unwrap_or_else(SystemTime::now)))
    }
}
