//! Colours, which mark problems, and the properties of the output stream.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;
use unicode_width::UnicodeWidthStr;

/// A text and its colour on a terminal. The text must be clear without its colour, since a pipe has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StyledText {
    text: String,
    tone: Tone,
}

/// How urgent a text is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Amber,
    Red,
}

/// The properties of the output stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputStyle {
    /// The width of the terminal in columns; `None`: nothing is wrapped and no column is left out.
    pub width: Option<u16>,
    /// Whether to use colours.
    pub colour: bool,
    /// Whether tables keep all columns, whatever the width.
    pub wide: bool,
}

impl StyledText {
    /// A text that needs attention soon.
    pub fn amber(text: impl Into<String>) -> StyledText {
        StyledText { text: text.into(), tone: Tone::Amber }
    }

    /// A text about something that fails now.
    pub fn red(text: impl Into<String>) -> StyledText {
        StyledText { text: text.into(), tone: Tone::Red }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn tone(&self) -> Tone {
        self.tone
    }

    /// The width on a terminal, in columns.
    pub(super) fn width(&self) -> usize {
        self.text.width()
    }
}

impl Tone {
    /// The text in this colour.
    pub(super) fn paint(self, text: &str, colour: bool) -> String {
        match self {
            Tone::Amber if colour => format!("\x1b[1;33m{text}\x1b[0m"),
            Tone::Red if colour => format!("\x1b[1;31m{text}\x1b[0m"),
            Tone::Plain | Tone::Amber | Tone::Red => text.to_owned(),
        }
    }
}

impl From<String> for StyledText {
    fn from(text: String) -> StyledText {
        StyledText { text, tone: Tone::Plain }
    }
}

impl From<&str> for StyledText {
    fn from(text: &str) -> StyledText {
        text.to_owned().into()
    }
}

impl OutputStyle {
    /// The style of a stream; with `wide`, tables keep all columns.
    pub fn of(stream: &(impl IsTerminal + AsFd), wide: bool) -> OutputStyle {
        if !stream.is_terminal() {
            return OutputStyle::default();
        }
        let width = tcgetwinsize(stream).ok().map(|size| size.ws_col).filter(|columns| *columns > 0);
        // By no-color.org, an empty variable counts as unset.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = !plain && std::env::var("TERM").is_ok_and(|term| term != "dumb");
        OutputStyle { width: width.map(|width| width.max(NARROWEST)), colour, wide }
    }
}

/// The least width for which lines are wrapped. A narrower terminal wraps the longer lines itself.
const NARROWEST: u16 = 40;
