//! The log: text or JSON on standard output, by a writer that never blocks the proxy.

use std::io::{self, stdout};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::log_writer::{LogWriter, LogWriterGuard};

/// Keeps the log open and changes its level.
#[derive(Debug)]
pub struct LogHandle {
    level: reload::Handle<LevelFilter, Registry>,
    writer: LogWriter,
    _guard: LogWriterGuard,
}

/// Starts the log of this process, as text or as JSON with one object per line. Lines beyond the queue's bound are
/// dropped and counted. A second call has no effect.
///
/// # Errors
/// If no thread can be started.
pub fn init(json: bool, level: LevelFilter) -> io::Result<LogHandle> {
    let (writer, guard) = LogWriter::start(stdout())?;
    let (filter, handle) = reload::Layer::new(level);
    let lines = fmt::layer().with_writer(writer.clone()).with_ansi(false).with_target(false);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.boxed()
    };
    // This fails if a log is already installed, as in tests.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Ok(LogHandle { level: handle, writer, _guard: guard })
}

impl LogHandle {
    /// Changes the level.
    pub fn set_level(&self, level: LevelFilter) {
        // This fails only if the log is closed.
        let _ = self.level.modify(|filter| *filter = level);
    }

    /// Number of lines dropped so far.
    pub fn dropped(&self) -> usize {
        self.writer.dropped()
    }
}
