//! What is shown while it goes on: on a terminal, one live line per node; elsewhere, a line whenever one has changed.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::node::{Node, State};
use crate::policy::Mode;

/// The screen.
#[derive(Debug)]
pub(super) struct Screen {
    /// On a terminal.
    live: Option<Live>,
    rows: Mutex<Vec<Row>>,
    /// Columns of the longest name.
    width: usize,
}

#[derive(Debug)]
struct Live {
    all: MultiProgress,
    bars: Vec<ProgressBar>,
}

/// A node's line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    name: String,
    state: State,
    mode: Option<Mode>,
    /// What it does, or who is being waited for.
    doing: String,
}

impl Screen {
    /// For these nodes.
    pub(super) fn new(names: &[String]) -> Screen {
        let row = |name: &String| Row { name: name.clone(), state: State::Unknown, mode: None, doing: String::new() };
        Screen {
            live: (stdout().is_terminal() && stderr().is_terminal()).then(|| Live::new(names.len())),
            rows: Mutex::new(names.iter().map(row).collect()),
            width: names.iter().map(|name| name.chars().count()).max().unwrap_or(0),
        }
    }

    /// Writes a line, which stays.
    pub(super) fn say(&self, line: impl Display) {
        // Whoever closed the standard output has seen enough: the exit code still tells.
        let write = || _ = writeln!(stdout(), "{line}");
        match &self.live {
            Some(live) => live.all.suspend(write),
            None => write(),
        }
    }

    /// Where the nodes are.
    pub(super) fn places(&self, nodes: &[Node]) {
        for (place, node) in nodes.iter().enumerate() {
            self.change(place, false, |row| (row.state, row.mode) = (node.state(), Some(node.mode)));
        }
    }

    /// A node has another mode.
    pub(super) fn mode(&self, node: usize, mode: Mode) {
        self.change(node, false, |row| row.mode = Some(mode));
    }

    /// What a node does in the next few seconds: for the live line alone.
    pub(super) fn busy(&self, node: usize, doing: impl Into<String>) {
        self.change(node, false, |row| row.doing = doing.into());
    }

    /// What a node has done, or who is being waited for.
    pub(super) fn doing(&self, node: usize, doing: impl Into<String>) {
        self.change(node, true, |row| row.doing = doing.into());
    }

    /// Whether a node's line says so already.
    pub(super) fn is_doing(&self, node: usize, doing: &str) -> bool {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.get(node).is_some_and(|row| row.doing == doing)
    }

    /// Leaves the lines as they are.
    pub(super) fn finish(&self) {
        for bar in self.live.iter().flat_map(|live| &live.bars) {
            bar.finish_and_clear();
        }
    }

    fn change(&self, node: usize, is_told: bool, change: impl FnOnce(&mut Row)) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(row) = rows.get_mut(node) else { return };
        let before = row.clone();
        change(row);
        if *row == before {
            return;
        }
        let line = row.line(self.width);
        drop(rows);
        match &self.live {
            Some(live) => live.bars[node].set_message(line),
            None if is_told => self.say(line),
            None => {}
        }
    }
}

impl Live {
    fn new(nodes: usize) -> Live {
        let all = MultiProgress::new();
        let bar = |_| {
            let bar = all.add(ProgressBar::new_spinner());
            // The template is ours and known to parse; without it the line would only look plainer.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            bar
        };
        let bars = (0..nodes).map(bar).collect();
        Live { all, bars }
    }
}

impl Row {
    fn line(&self, width: usize) -> String {
        let Row { name, state, mode, doing } = self;
        let mode = mode.map(|mode| mode.to_string()).unwrap_or_default();
        format!("{name:width$}  {state:10}  {mode:10}  {doing}").trim_end().to_owned()
    }
}

const TICK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::{Row, State};
    use crate::policy::Mode;

    #[test]
    fn a_line_says_who_what_and_where() {
        let row =
            Row { name: "db1:1".into(), state: State::Primary, mode: Some(Mode::Allow), doing: "verified".into() };
        assert_eq!(row.line(7), "db1:1    PRIMARY     allowSSL    verified");
        let row = Row { mode: None, doing: String::new(), ..row };
        assert_eq!(row.line(5), "db1:1  PRIMARY");
    }
}
