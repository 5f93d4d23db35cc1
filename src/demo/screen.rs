//! Standard output, with colours on a terminal unless `NO_COLOR` is set (no-color.org). No meaning is expressed by
//! colour alone.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stdout};

#[derive(Debug)]
pub(super) struct Screen {
    has_colours: bool,
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
    pub(super) fn new() -> Screen {
        // By no-color.org, an empty variable has no effect.
        let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_able = stdout().is_terminal() && std::env::var("TERM").is_ok_and(|term| term != "dumb");
        Screen { has_colours: is_able && !is_refused }
    }

    pub(super) fn line(&self, line: impl Display) {
        // A closed standard output is not an error: the exit code tells the result.
        let _ = writeln!(stdout(), "{line}");
    }

    pub(super) fn paint(&self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Heading => "1",
            Colour::Good => "32",
            Colour::Refused => "33",
            Colour::Bad => "1;31",
            Colour::Faint => "2",
        };
        if self.has_colours && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
