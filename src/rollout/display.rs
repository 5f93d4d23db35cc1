//! Progress: on a terminal, one live line per node; elsewhere, a line for each event.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::node::{MemberState, Node};
use crate::policy::Mode;

/// The progress lines of all nodes.
#[derive(Debug)]
pub(super) struct LiveDisplay {
    /// The live lines; `None` if the output is not a terminal.
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
    lines: RefCell<Vec<NodeLine>>,
    /// Width of the longest name, in columns.
    width: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct NodeLine {
    name: String,
    state: MemberState,
    mode: Option<Mode>,
    /// The last event or activity.
    doing: String,
}

impl LiveDisplay {
    pub(super) fn new(names: &[String]) -> LiveDisplay {
        let line = |name: &String| NodeLine {
            name: name.clone(),
            state: MemberState::Unknown,
            mode: None,
            doing: String::new(),
        };
        LiveDisplay {
            bars: (stdout().is_terminal() && stderr().is_terminal()).then(|| bars(names.len())),
            lines: RefCell::new(names.iter().map(line).collect()),
            width: names.iter().map(|name| name.chars().count()).max().unwrap_or(0),
        }
    }

    /// Prints a line above the live lines.
    pub(super) fn line(&self, line: impl Display) {
        // A closed standard output is not an error: the exit code states the result.
        let write = || _ = writeln!(stdout(), "{line}");
        match &self.bars {
            Some((all, _)) => all.suspend(write),
            None => write(),
        }
    }

    pub(super) fn nodes(&self, nodes: &[Node]) {
        for (place, node) in nodes.iter().enumerate() {
            self.change(place, false, |line| (line.state, line.mode) = (node.state(), Some(node.mode)));
        }
    }

    pub(super) fn mode(&self, node: usize, mode: Mode) {
        self.change(node, false, |line| line.mode = Some(mode));
    }

    /// Shows a node's activity of the next few seconds, in its live line only.
    pub(super) fn activity(&self, node: usize, doing: impl Into<String>) {
        self.change(node, false, |line| line.doing = doing.into());
    }

    pub(super) fn event(&self, node: usize, doing: impl Into<String>) {
        self.change(node, true, |line| line.doing = doing.into());
    }

    pub(super) fn is_last_event(&self, node: usize, doing: &str) -> bool {
        self.lines.borrow().get(node).is_some_and(|line| line.doing == doing)
    }

    /// Removes the live lines.
    pub(super) fn finish(&self) {
        for bar in self.bars.iter().flat_map(|(_, bars)| bars) {
            bar.finish_and_clear();
        }
    }

    fn change(&self, node: usize, is_event: bool, change: impl FnOnce(&mut NodeLine)) {
        let mut lines = self.lines.borrow_mut();
        let Some(line) = lines.get_mut(node) else { return };
        let before = line.clone();
        change(line);
        if *line == before {
            return;
        }
        let text = line.text(self.width);
        match &self.bars {
            Some((_, bars)) => bars[node].set_message(text),
            None if is_event => self.line(text),
            None => {}
        }
    }
}

fn bars(nodes: usize) -> (MultiProgress, Vec<ProgressBar>) {
    let all = MultiProgress::new();
    let bar = |_| {
        let bar = all.add(ProgressBar::new_spinner());
        // The template is a constant and known to parse.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        bar
    };
    let bars = (0..nodes).map(bar).collect();
    (all, bars)
}

impl NodeLine {
    fn text(&self, width: usize) -> String {
        let NodeLine { name, state, mode, doing } = self;
        let mode = mode.map(|mode| mode.to_string()).unwrap_or_default();
        format!("{name:width$}  {state:10}  {mode:10}  {doing}").trim_end().to_owned()
    }
}

const TICK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::{MemberState, NodeLine};
    use crate::policy::Mode;

    #[test]
    fn a_line_has_name_state_mode_and_activity() {
        let line = NodeLine {
            name: "db1:1".into(),
            state: MemberState::Primary,
            mode: Some(Mode::Allow),
            doing: "verified".into(),
        };
        assert_eq!(line.text(7), "db1:1    PRIMARY     allowSSL    verified");
        let line = NodeLine { mode: None, doing: String::new(), ..line };
        assert_eq!(line.text(5), "db1:1  PRIMARY");
    }
}
