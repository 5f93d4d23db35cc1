//! A page of sentences, warnings and tables, rendered for a terminal or a pipe.

use std::collections::BTreeSet;

use unicode_width::UnicodeWidthStr;

use super::style::{OutputStyle, StyledText, Tone};
use super::table::{Rendered, TextTable};
use super::wrap::hanging;

/// A page, from top to bottom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page(Vec<PagePart>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum PagePart {
    Sentence(StyledText),
    Warning(String),
    /// Consecutive items are aligned.
    Item(&'static str, StyledText),
    /// An empty line precedes and follows commands and tables.
    Commands(Vec<String>),
    Table(TextTable),
    Gap,
}

impl Page {
    /// A page that begins with a sentence.
    pub fn saying(sentence: impl Into<StyledText>) -> Page {
        let mut page = Page::default();
        page.say(sentence);
        page
    }

    /// A sentence; on a terminal it is wrapped between words.
    pub fn say(&mut self, sentence: impl Into<StyledText>) {
        self.0.push(PagePart::Sentence(sentence.into()));
    }

    /// A warning.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.0.push(PagePart::Warning(warning.into()));
    }

    /// A critical warning.
    pub fn alarm(&mut self, warning: impl Into<String>) {
        self.say(StyledText::red(format!("CRITICAL: {}", warning.into())));
    }

    /// A labelled line. The texts of consecutive items are aligned, also if they are wrapped.
    pub fn item(&mut self, label: &'static str, text: impl Into<StyledText>) {
        self.0.push(PagePart::Item(label, text.into()));
    }

    /// Commands to be typed: indented and never wrapped.
    pub fn commands(&mut self, commands: Vec<String>) {
        self.0.push(PagePart::Commands(commands));
    }

    /// A table, unless it is empty.
    pub fn table(&mut self, table: TextTable) {
        if !table.is_empty() {
            self.0.push(PagePart::Table(table));
        }
    }

    /// An empty line.
    pub fn gap(&mut self) {
        self.0.push(PagePart::Gap);
    }

    /// The text, ending with a line break.
    pub fn render(&self, style: OutputStyle) -> String {
        let (mut lines, mut left_out): (Vec<String>, Vec<&str>) = (Vec::new(), Vec::new());
        let mut apart = false;
        for (number, part) in self.0.iter().enumerate() {
            let block = matches!(part, PagePart::Table(_) | PagePart::Commands(_) | PagePart::Gap);
            if (block || apart) && lines.last().is_some_and(|line| !line.is_empty()) {
                lines.push(String::new());
            }
            apart = block;
            let rendered = self.part(number, part, style);
            lines.extend(rendered.lines);
            left_out.extend(rendered.left_out);
        }
        if !left_out.is_empty() {
            let mut seen = BTreeSet::new();
            left_out.retain(|head| seen.insert(*head));
            let note = format!("Columns that do not fit here: {} (--wide shows them).", left_out.join(", "));
            lines.push(String::new());
            lines.extend(hanging("", INDENT, &note.into(), style));
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn part(&self, number: usize, part: &PagePart, style: OutputStyle) -> Rendered {
        let lines = match part {
            PagePart::Sentence(sentence) => hanging("", INDENT, sentence, style),
            PagePart::Warning(warning) => {
                let mut lines = hanging(WARNING, INDENT, &warning.as_str().into(), style);
                let painted = Tone::Amber.paint(WARNING.trim_end(), style.colour);
                if let Some(first) = lines.first_mut() {
                    first.replace_range(..WARNING.trim_end().len(), &painted);
                }
                lines
            }
            PagePart::Item(label, text) => {
                let width = self.label_width(number);
                hanging(&format!("{label:width$}"), width, text, style)
            }
            PagePart::Commands(commands) => commands.iter().map(|command| format!("  {command}")).collect(),
            PagePart::Table(table) => return table.render(style),
            PagePart::Gap => Vec::new(),
        };
        Rendered { lines, left_out: Vec::new() }
    }

    #[cfg(test)]
    pub(super) fn cells(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter_map(|part| if let PagePart::Table(table) = part { Some(table.cells()) } else { None })
            .flatten()
    }

    /// Whether a text is the label of an item.
    #[cfg(test)]
    pub(super) fn is_label(&self, text: &str) -> bool {
        self.0.iter().any(|part| matches!(part, PagePart::Item(label, _) if *label == text))
    }

    /// Whether a text is one of the commands.
    #[cfg(test)]
    pub(super) fn is_command(&self, text: &str) -> bool {
        self.0.iter().any(|part| matches!(part, PagePart::Commands(all) if all.iter().any(|command| command == text)))
    }

    /// The label width, gap included, of the run of consecutive items that contains this item.
    fn label_width(&self, number: usize) -> usize {
        let label = |part: &PagePart| match part {
            PagePart::Item(label, _) => Some(label.width() + INDENT),
            PagePart::Sentence(_)
            | PagePart::Warning(_)
            | PagePart::Commands(_)
            | PagePart::Table(_)
            | PagePart::Gap => None,
        };
        let (before, after) = self.0.split_at(number);
        before.iter().rev().map_while(label).chain(after.iter().map_while(label)).max().unwrap_or(0)
    }
}

const WARNING: &str = "warning: ";
/// Spaces before every line of a sentence except the first, and between a label and its text.
const INDENT: usize = 2;

#[cfg(test)]
mod tests {
    use super::{OutputStyle, Page};
    use crate::screen::{StyledText, TextTable};

    fn page() -> Page {
        let mut page = Page::saying("Two rows are below this sentence, which is long.");
        page.warn("look out for what is wrong with them");
        page.alarm("fire in the engine room, and on the bridge too");
        page.item("Mode", "preferSSL");
        page.item("Servers", StyledText::amber("127.0.0.1:27018 is down since yesterday, and so is its peer"));
        let mut table = TextTable::new([("NAME", 0), ("OPEN", 0), ("NOTE", 1)]);
        table.row(["a", "7", "one two three four five six seven eight nine ten"]);
        table.row(["größer", "12", ""]);
        page.table(table);
        page.say("Then:");
        page.commands(vec!["tlsramp ctl accept a-name-that-is-too-long-for-a-line".into()]);
        page.table(TextTable::new([("EMPTY", 0)]));
        page
    }

    #[test]
    fn in_a_pipe_nothing_is_wrapped_or_coloured() {
        let expected = "\
Two rows are below this sentence, which is long.
warning: look out for what is wrong with them
CRITICAL: fire in the engine room, and on the bridge too
Mode     preferSSL
Servers  127.0.0.1:27018 is down since yesterday, and so is its peer

NAME    OPEN  NOTE
a          7  one two three four five six seven eight nine ten
größer    12  -

Then:

  tlsramp ctl accept a-name-that-is-too-long-for-a-line
";
        assert_eq!(page().render(OutputStyle::default()), expected);
    }

    #[test]
    fn on_a_terminal_text_is_wrapped_and_columns_are_left_out() {
        let style = OutputStyle { width: Some(40), ..OutputStyle::default() };
        let expected = "\
Two rows are below this sentence, which
  is long.
warning: look out for what is wrong with
  them
CRITICAL: fire in the engine room, and
  on the bridge too
Mode     preferSSL
Servers  127.0.0.1:27018 is down since
         yesterday, and so is its peer

NAME    OPEN
a          7
größer    12

Then:

  tlsramp ctl accept a-name-that-is-too-long-for-a-line

Columns that do not fit here: NOTE
  (--wide shows them).
";
        assert_eq!(page().render(style), expected);
        let wide = page().render(OutputStyle { wide: true, ..style });
        assert!(wide.contains("eight nine ten\n") && !wide.contains("--wide"), "{wide}");
    }

    #[test]
    fn each_line_has_its_own_colour() {
        let text = page().render(OutputStyle { width: Some(40), colour: true, wide: false });
        for line in [
            "\u{1b}[1;33mwarning:\u{1b}[0m look out for what is wrong with\n  them\n",
            "\u{1b}[1;31mCRITICAL: fire in the engine room, and\u{1b}[0m\n  \u{1b}[1;31mon the bridge too\u{1b}[0m\n",
            "Servers  \u{1b}[1;33m127.0.0.1:27018 is down since\u{1b}[0m\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        for width in 0..12 {
            assert!(page().render(OutputStyle { width: Some(width), colour: true, wide: false }).ends_with("them).\n"));
        }
    }
}
