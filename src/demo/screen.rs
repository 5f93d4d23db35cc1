//! Where the demo writes: results to standard output, and, if standard error is a terminal, one live line below them.
//!
//! Colour is for terminals alone, and not even there where `NO_COLOR` is set (no-color.org); nothing is told by
//! colour only.

use std::fmt;
use std::io::{IsTerminal, Write, stdout};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::interval;

use super::tally::{Of, Tally};
use super::text::thousands;

/// The screen. Clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Screen {
    live: ProgressBar,
    colour: bool,
}

/// A colour, by its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Heading,
    Good,
    Refused,
    Bad,
    Faint,
}

impl Screen {
    /// For a walk of so many steps.
    pub(super) fn new(steps: usize) -> Screen {
        let colour =
            stdout().is_terminal() && !is_set("NO_COLOR") && std::env::var("TERM").is_ok_and(|term| term != "dumb");
        let live = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
        // The template is ours and known to parse; without it the live line would only look plainer.
        if let Ok(style) = ProgressStyle::with_template("  {spinner} [{bar:24}] {msg}") {
            live.set_style(style.progress_chars("=> "));
        }
        live.enable_steady_tick(TICK);
        Screen { live, colour }
    }

    /// Writes a line.
    pub(super) fn line(&self, line: impl fmt::Display) {
        // Whoever closed the standard output has seen enough: the exit code still tells.
        self.live.suspend(|| _ = writeln!(stdout(), "{line}"));
    }

    /// A text in a colour, where there are colours.
    pub(super) fn paint(&self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Heading => "1",
            Colour::Good => "32",
            Colour::Refused => "33",
            Colour::Bad => "1;31",
            Colour::Faint => "2",
        };
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// One step of the walk is done.
    pub(super) fn step(&self) {
        self.live.inc(1);
    }

    /// Takes the live line away.
    pub(super) fn finish(&self) {
        self.live.finish_and_clear();
    }

    /// Keeps the live line's numbers up to date, for ever.
    pub(super) async fn follow(self, tally: Arc<Tally>) {
        let mut ticks = interval(TICK);
        loop {
            ticks.tick().await;
            let (clients, nodes) = (tally.read(Of::Client), tally.read(Of::Node));
            let (operations, heartbeats) = (thousands(clients.done), thousands(nodes.done));
            let failed = clients.failed + nodes.failed;
            self.live.set_message(format!("{operations} operations, {heartbeats} heartbeats, failed: {failed}"));
        }
    }
}

/// By no-color.org, an empty variable is none.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

const TICK: Duration = Duration::from_millis(100);
