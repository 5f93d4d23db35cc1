//! The log itself: text or JSON on standard output, by a writer that never makes the proxy wait.

use std::io::{self, stdout};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::lines::{Lines, Writing};

/// Holds the log open, and changes its level.
#[derive(Debug)]
pub struct LogHandle {
    level: reload::Handle<LevelFilter, Registry>,
    lines: Lines,
    _writing: Writing,
}

/// Starts the log of this process, for people or, with `json`, one object a line. Lines that a slow reader leaves
/// waiting beyond the bound are dropped and counted. A second call changes nothing.
///
/// # Errors
/// If the system gives no thread to write by.
pub fn init(json: bool, level: LevelFilter) -> io::Result<LogHandle> {
    let (writer, writing) = Lines::start(stdout())?;
    let (filter, handle) = reload::Layer::new(level);
    let lines = fmt::layer().with_writer(writer.clone()).with_ansi(false).with_target(false);
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        lines.boxed()
    };
    // Another log of this process, as tests have it, stays.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Ok(LogHandle { level: handle, lines: writer, _writing: writing })
}

impl LogHandle {
    /// Changes the level.
    pub fn set_level(&self, level: LevelFilter) {
        // It fails if the log is gone, and then there is no level to set.
        let _ = self.level.modify(|filter| *filter = level);
    }

    /// Lines dropped so far.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.lines.dropped()
    }
}
