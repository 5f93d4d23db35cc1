//! A page of sentences, warnings and tables, rendered for a terminal or a pipe.

use comfy_table::{CellAlignment, ContentArrangement};

/// A page, from top to bottom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page(Vec<PagePart>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum PagePart {
    Sentence(String),
    Warning(String),
    Critical(String),
    Commands(Vec<String>),
    Table(TextTable),
}

/// A table. Empty columns are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TextTable {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// The properties of the output stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OutputStyle {
    /// Columns of the terminal; without it, nothing is wrapped.
    pub(super) width: Option<u16>,
    /// Whether to use colours.
    pub(super) colour: bool,
}

impl Page {
    pub(super) fn saying(sentence: impl Into<String>) -> Page {
        let mut page = Page::default();
        page.say(sentence);
        page
    }

    pub(super) fn say(&mut self, sentence: impl Into<String>) {
        self.0.push(PagePart::Sentence(sentence.into()));
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.0.push(PagePart::Warning(warning.into()));
    }

    /// A critical warning.
    pub(super) fn alarm(&mut self, warning: impl Into<String>) {
        self.0.push(PagePart::Critical(warning.into()));
    }

    /// Commands to be typed: indented and never wrapped.
    pub(super) fn commands(&mut self, commands: Vec<String>) {
        self.0.push(PagePart::Commands(commands));
    }

    /// A table, unless it is empty.
    pub(super) fn table(&mut self, table: TextTable) {
        if !table.rows.is_empty() {
            self.0.push(PagePart::Table(table));
        }
    }

    /// The text, ending with a line break.
    pub(super) fn render(&self, view: OutputStyle) -> String {
        let mut text = String::new();
        let mut apart = false;
        for (number, part) in self.0.iter().enumerate() {
            let block = matches!(part, PagePart::Table(_) | PagePart::Commands(_));
            if number > 0 && (block || apart) {
                text.push('\n');
            }
            apart = block;
            text.push_str(&part.render(view));
            text.push('\n');
        }
        text
    }
}

impl PagePart {
    fn render(&self, view: OutputStyle) -> String {
        match self {
            PagePart::Sentence(sentence) => sentence.clone(),
            PagePart::Warning(warning) if view.colour => format!("\x1b[1;33mwarning:\x1b[0m {warning}"),
            PagePart::Warning(warning) => format!("warning: {warning}"),
            PagePart::Critical(warning) if view.colour => format!("\x1b[1;31mCRITICAL: {warning}\x1b[0m"),
            PagePart::Critical(warning) => format!("CRITICAL: {warning}"),
            PagePart::Commands(commands) => {
                commands.iter().map(|command| format!("  {command}")).collect::<Vec<_>>().join("\n")
            }
            PagePart::Table(table) => table.render(view.width),
        }
    }
}

impl TextTable {
    pub(super) fn new<const N: usize>(heads: [&'static str; N]) -> TextTable {
        TextTable { heads: heads.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    fn render(&self, width: Option<u16>) -> String {
        let used: Vec<_> = (0..self.heads.len()).filter(|column| self.is_used(*column)).collect();
        let mut table = comfy_table::Table::new();
        table.set_header(used.iter().map(|column| self.heads[*column]));
        for row in &self.rows {
            table.add_row(used.iter().map(|column| shown(&row[*column])));
        }
        table.load_style(comfy_table::presets::NOTHING);
        match width {
            Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        for (column, number) in table.column_iter_mut().zip(&used) {
            column.set_padding((0, GAP));
            if self.rows.iter().all(|row| row[*number].bytes().all(|byte| byte.is_ascii_digit())) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.trim_fmt()
    }

    fn is_used(&self, column: usize) -> bool {
        self.rows.iter().any(|row| !row[column].is_empty())
    }
}

fn shown(cell: &str) -> &str {
    if cell.is_empty() { "-" } else { cell }
}

/// Spaces between two columns.
const GAP: u16 = 2;

#[cfg(test)]
mod tests {
    use super::{OutputStyle, Page, TextTable};

    fn page() -> Page {
        let mut page = Page::saying("Two rows.");
        page.warn("look out");
        page.alarm("fire");
        let mut table = TextTable::new(["WHO", "OPEN", "NOBODY", "WHAT"]);
        table.row(["a".into(), "7".into(), String::new(), "one two three four five six seven eight nine ten".into()]);
        table.row(["größer".into(), "12".into(), String::new(), String::new()]);
        page.table(table);
        page.say("Then:");
        page.commands(vec!["do this".into()]);
        page.table(TextTable::new(["EMPTY"]));
        page
    }

    #[test]
    fn in_a_pipe_nothing_is_wrapped_or_coloured() {
        let expected = "\
Two rows.
warning: look out
CRITICAL: fire

WHO     OPEN  WHAT
a          7  one two three four five six seven eight nine ten
größer    12  -

Then:

  do this
";
        assert_eq!(page().render(OutputStyle::default()), expected);
    }

    #[test]
    fn on_a_terminal_tables_keep_to_its_width() {
        let text = page().render(OutputStyle { width: Some(40), colour: true });
        assert!(text.contains("\u{1b}[1;33mwarning:\u{1b}[0m look out"), "{text}");
        assert!(text.contains("\u{1b}[1;31mCRITICAL: fire\u{1b}[0m"), "{text}");
        assert!(text.lines().filter(|line| !line.contains('\u{1b}')).all(|line| line.chars().count() <= 40), "{text}");
        assert_eq!(text.split_whitespace().filter(|word| *word == "ten").count(), 1, "{text}");
        for narrow in 0..12 {
            page().render(OutputStyle { width: Some(narrow), colour: false });
        }
    }
}
