//! Tables. A cell is never broken or cut. On a narrow terminal, columns are left out by rank. A cell that is wider than
//! its column overflows it, or begins a new line; the cells after it continue below, each in its own column.

use super::style::{OutputStyle, StyledText};
use super::wrap::hanging;

/// A table. Columns without content are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextTable {
    columns: Vec<Column>,
    rows: Vec<TableRow>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct TableRow {
    cells: Vec<StyledText>,
    notes: Vec<StyledText>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Column {
    head: &'static str,
    rank: u8,
}

/// A column as it is printed.
#[derive(Debug, Clone, Copy)]
struct PlacedColumn {
    index: usize,
    start: usize,
    width: usize,
    is_right_aligned: bool,
}

pub(super) struct Rendered {
    pub(super) lines: Vec<String>,
    /// The heads of the table columns that did not fit.
    pub(super) left_out: Vec<&'static str>,
}

impl TextTable {
    /// A table of these columns, each with its head and its rank. On a narrow terminal, columns with the highest rank
    /// are left out first, from right to left; columns of rank 0 are never left out.
    pub fn new<const N: usize>(columns: [(&'static str, u8); N]) -> TextTable {
        let columns = columns.into_iter().map(|(head, rank)| Column { head, rank }).collect();
        TextTable { columns, rows: Vec::new() }
    }

    /// Adds a row, with a cell for each column.
    pub fn row<const N: usize, T: Into<StyledText>>(&mut self, cells: [T; N]) {
        debug_assert_eq!(N, self.columns.len(), "a cell for each column");
        self.rows.push(TableRow { cells: cells.into_iter().map(Into::into).collect(), notes: Vec::new() });
    }

    /// Adds a sentence below the last row, indented, and wrapped between words on a terminal.
    pub fn note(&mut self, note: impl Into<StyledText>) {
        if let Some(row) = self.rows.last_mut() {
            row.notes.push(note.into());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines. None exceeds the width of the terminal, unless a single cell does.
    pub(super) fn render(&self, style: OutputStyle) -> Rendered {
        let width = style.width.filter(|_| !style.wide).map(usize::from);
        let (columns, left_out) = self.place(width);
        let heads: Vec<_> = self.columns.iter().map(|column| StyledText::from(column.head)).collect();
        let mut lines = row_lines(&heads, &columns, width, false);
        for row in &self.rows {
            lines.extend(row_lines(&row.cells, &columns, width, style.colour));
            let indent = " ".repeat(NOTE_INDENT);
            lines.extend(row.notes.iter().flat_map(|note| hanging(&indent, NOTE_INDENT, note, style)));
        }
        Rendered { lines, left_out }
    }

    #[cfg(test)]
    pub(super) fn cells(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().flat_map(|row| &row.cells).map(StyledText::text)
    }

    /// The columns that fit, and the heads of the others.
    fn place(&self, width: Option<usize>) -> (Vec<PlacedColumn>, Vec<&'static str>) {
        let used = |column: &usize| self.rows.iter().any(|row| !row.cells[*column].text().is_empty());
        let mut kept: Vec<_> = (0..self.columns.len()).filter(used).map(|index| (index, self.widths(index))).collect();
        let mut left_out = Vec::new();
        let width = width.unwrap_or(usize::MAX);
        while total(kept.iter().map(|(_, widths)| widths.usual)) > width {
            let last = |place: &usize| (self.columns[kept[*place].0].rank, *place);
            let Some(place) = (0..kept.len()).max_by_key(last).filter(|place| last(place).0 > 0) else { break };
            left_out.insert(0, self.columns[kept.remove(place).0].head);
        }
        let widths = fitted(kept.iter().map(|(_, widths)| *widths).collect(), width);
        let mut start = 0;
        let place = |((index, _), width): (&(usize, CellWidths), usize)| {
            let digits = |row: &TableRow| row.cells[*index].text().bytes().all(|byte| byte.is_ascii_digit());
            let column = PlacedColumn { index: *index, start, width, is_right_aligned: self.rows.iter().all(digits) };
            start += width + GAP;
            column
        };
        (kept.iter().zip(widths).map(place).collect(), left_out)
    }

    fn widths(&self, column: usize) -> CellWidths {
        let mut widths: Vec<_> = self.rows.iter().map(|row| shown(&row.cells[column]).1).collect();
        widths.sort_unstable();
        let (rows, head) = (widths.len(), self.columns[column].head.len());
        let at = |place: usize| widths.get(place).copied().unwrap_or(0).max(head);
        CellWidths { head, usual: at((rows - rows / LONG_ROWS).saturating_sub(1)), longest: at(rows.saturating_sub(1)) }
    }
}

#[derive(Debug, Clone, Copy)]
struct CellWidths {
    head: usize,
    /// The maximum width of all cells except the longest quarter, so that a few long cells do not displace other
    /// columns.
    usual: usize,
    longest: usize,
}

/// The total width, with the gaps between the columns.
fn total(widths: impl Iterator<Item = usize>) -> usize {
    widths.map(|width| width + GAP).sum::<usize>().saturating_sub(GAP)
}

/// The column widths. If all cells fit, each column is as wide as its longest cell. Otherwise one common maximum is
/// applied: the largest with which the table fits. A column whose usual width exceeds the maximum keeps its usual
/// width. If no maximum makes the table fit that way, only the width of a column's head is kept below the maximum.
fn fitted(all: Vec<CellWidths>, width: usize) -> Vec<usize> {
    let bounded = |least: fn(&CellWidths) -> usize, bound: usize| {
        all.iter().map(move |widths| widths.longest.min(bound.max(least(widths))))
    };
    let longest = all.iter().map(|widths| widths.longest).max().unwrap_or(0);
    let usual: fn(&CellWidths) -> usize = |widths| widths.usual;
    let head: fn(&CellWidths) -> usize = |widths| widths.head;
    for least in [usual, head] {
        if let Some(bound) = (NARROW_CELL..=longest).rev().find(|bound| total(bounded(least, *bound)) <= width) {
            return bounded(least, bound).collect();
        }
    }
    bounded(head, NARROW_CELL).collect()
}

fn row_lines(row: &[StyledText], columns: &[PlacedColumn], width: Option<usize>, colour: bool) -> Vec<String> {
    let (mut lines, mut line, mut end) = (Vec::new(), String::new(), 0);
    for column in columns {
        let cell = &row[column.index];
        let (text, cell_width) = shown(cell);
        let mut start = column.start;
        if column.is_right_aligned {
            start += column.width.saturating_sub(cell_width);
        }
        let fits = width.is_none_or(|width| start + cell_width <= width);
        if end > 0 && (start < end + GAP || !fits) {
            lines.push(std::mem::take(&mut line));
            end = 0;
        }
        if let Some(width) = width.filter(|_| !fits) {
            start = start.min(NOTE_INDENT).min(width.saturating_sub(cell_width));
        }
        line.extend(std::iter::repeat_n(' ', start - end));
        line.push_str(&cell.tone().paint(text, colour && !cell.text().is_empty()));
        end = start + cell_width;
    }
    lines.push(line);
    lines
}

/// The text of a cell, and its width on a terminal.
fn shown(cell: &StyledText) -> (&str, usize) {
    if cell.text().is_empty() { ("-", 1) } else { (cell.text(), cell.width()) }
}

/// Spaces before a note.
const NOTE_INDENT: usize = 4;
/// Spaces between two columns.
const GAP: usize = 2;
/// At most one cell in this many is wider than the usual width of its column.
const LONG_ROWS: usize = 4;
/// The smallest common maximum of the column widths (see [`fitted`]).
const NARROW_CELL: usize = 8;

#[cfg(test)]
mod tests {
    use super::{OutputStyle, TextTable};

    fn table() -> TextTable {
        let mut table =
            TextTable::new([("#", 0), ("ADDRESS", 0), ("NAME", 1), ("OPEN", 0), ("NOBODY", 0), ("NOTE", 2)]);
        table.row(["1", "10.0.0.7", "reports", "7", "", "blocks"]);
        table.row(["12", "2001:db8::1", "größer 数据", "12", "", ""]);
        table
    }

    fn lines(table: &TextTable, width: Option<u16>) -> (Vec<String>, Vec<&'static str>) {
        let rendered = table.render(OutputStyle { width, ..OutputStyle::default() });
        (rendered.lines, rendered.left_out)
    }

    #[test]
    fn columns_that_do_not_fit_are_left_out_by_rank() {
        let all = [
            " #  ADDRESS      NAME         OPEN  NOTE",
            " 1  10.0.0.7     reports         7  blocks",
            "12  2001:db8::1  größer 数据    12  -",
        ];
        let without_note = [
            " #  ADDRESS      NAME         OPEN",
            " 1  10.0.0.7     reports         7",
            "12  2001:db8::1  größer 数据    12",
        ];
        let least = [" #  ADDRESS      OPEN", " 1  10.0.0.7        7", "12  2001:db8::1    12"];
        for (width, expected, left_out) in [
            (None, &all, vec![]),
            (Some(42), &all, vec![]),
            (Some(41), &without_note, vec!["NOTE"]),
            (Some(34), &without_note, vec!["NOTE"]),
            (Some(33), &least, vec!["NAME", "NOTE"]),
            (Some(21), &least, vec!["NAME", "NOTE"]),
        ] {
            let (lines, dropped) = lines(&table(), width);
            assert_eq!((lines, dropped), (expected.map(str::to_owned).to_vec(), left_out), "{width:?}");
        }
    }

    #[test]
    fn a_long_cell_stays_whole_and_its_row_goes_on_below() {
        let long = "an-application-with-a-name-of-fifty-characters-abc";
        let mut table = TextTable::new([("ADDRESS", 0), ("NAME", 0), ("OPEN", 0)]);
        table.row(["10.0.0.7", "a", "1"]);
        table.row(["10.0.0.8", long, "2"]);
        table.row(["2001:db8:1111:2222:3333:4444:5555:6666", long, "3"]);
        let expected = "\
ADDRESS                NAME                   OPEN
10.0.0.7               a                         1
10.0.0.8
an-application-with-a-name-of-fifty-characters-abc
                                                 2
2001:db8:1111:2222:3333:4444:5555:6666
an-application-with-a-name-of-fifty-characters-abc
                                                 3";
        assert_eq!(lines(&table, Some(50)).0.join("\n"), expected);
        for width in 0..200 {
            let (lines, _) = lines(&table, Some(width));
            assert!(lines.iter().all(|line| line.len() <= usize::from(width).max(long.len())), "{width}: {lines:?}");
            assert_eq!(lines.iter().filter(|line| line.contains(long)).count(), 2, "{width}: {lines:?}");
        }
    }

    #[test]
    fn a_note_stands_below_its_row() {
        let mut table = TextTable::new([("SERVER", 0), ("UP", 0)]);
        table.row(["db3:27017", "NO"]);
        table.note("its certificate does not verify");
        table.row(["db4:27017", "yes"]);
        let expected = "SERVER     UP\ndb3:27017  NO\n    its certificate\n    does not verify\ndb4:27017  yes";
        assert_eq!(lines(&table, Some(20)).0.join("\n"), expected);
    }
}
