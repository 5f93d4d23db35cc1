//! Golden files: a page as it is printed at several widths. `TLSRAMP_BLESS=1` writes the files.

use std::fs;
use std::path::Path;

use unicode_width::UnicodeWidthStr;

use super::page::Page;
use super::style::OutputStyle;

/// Compares a page with `FOLDER/NAME.txt`, at 80, 120 and 200 columns and in a pipe, and checks that no line is too
/// long.
pub(crate) fn check(folder: &str, name: &str, page: &Page) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(format!("{name}.txt"));
    let mut text = String::new();
    for width in [Some(80), Some(120), Some(200), None] {
        let rendered = page.render(OutputStyle { width, ..OutputStyle::default() });
        assert!(!rendered.contains('\u{1b}') && !rendered.contains("\n\n\n"), "{name}: {rendered}");
        assert!(rendered.lines().all(|line| line.trim_end() == line), "{name}: {rendered}");
        if let Some(width) = width {
            assert_fits(name, page, &rendered, usize::from(width));
        }
        let title = width.map_or_else(|| "in a pipe".to_owned(), |width| format!("{width} columns"));
        text += &format!("=== {title} ===\n{}", shortened(&rendered));
    }
    if std::env::var_os("TLSRAMP_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{}: expected\n{expected}\nfound\n{text}", path.display());
}

/// Checks that no line exceeds the width, except commands, and cells or words that are longer than a line. Such a word
/// may follow a label.
fn assert_fits(name: &str, page: &Page, rendered: &str, width: usize) {
    for line in rendered.lines().filter(|line| line.width() > width) {
        let trimmed = line.trim_start();
        let alone = !trimmed.contains(' ') || page.cells().any(|cell| cell == trimmed);
        let labelled =
            trimmed.split_once("  ").is_some_and(|(label, word)| page.is_label(label) && !word.trim().contains(' '));
        let too_long = labelled || (alone && trimmed.width() > width);
        assert!(page.is_command(trimmed) || too_long, "{name} at {width}: {line:?}");
    }
}

/// A long text without the lines in the middle.
fn shortened(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    if lines.len() <= HEAD + TAIL {
        return text.to_owned();
    }
    let (head, tail) = (&lines[..HEAD], &lines[lines.len() - TAIL..]);
    format!("{}\n[{} more lines]\n{}\n", head.join("\n"), lines.len() - HEAD - TAIL, tail.join("\n"))
}

/// Lines kept at the start and at the end.
const HEAD: usize = 45;
const TAIL: usize = 15;
