//! Line breaks between words.

use unicode_width::UnicodeWidthStr;

use super::style::{OutputStyle, StyledText};

/// The lines of a text after a label; all but the first are indented.
pub(super) fn hanging(label: &str, indent: usize, text: &StyledText, style: OutputStyle) -> Vec<String> {
    let width = style.width.map(usize::from);
    let widths = width.map(|width| (width.saturating_sub(label.width()), width.saturating_sub(indent)));
    let lines = wrapped(text.text(), widths).into_iter().enumerate();
    lines
        .map(|(number, line)| {
            let line = text.tone().paint(&line, style.colour);
            if number == 0 { format!("{label}{line}") } else { format!("{:indent$}{line}", "") }
        })
        .collect()
}

/// The lines of a text: the first may use `first` columns, the others `rest`. A word that is longer has a line of its own, and
/// line breaks in the text are kept. Without a width, the lines are those of the text.
fn wrapped(text: &str, width: Option<(usize, usize)>) -> Vec<String> {
    let Some((first, rest)) = width else { return text.lines().map(str::to_owned).collect() };
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let room = if lines.is_empty() { first } else { rest };
            if !line.is_empty() && line.width() + 1 + word.width() > room {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn lines_break_between_words_only() {
        for (text, width, lines) in [
            ("one two three", None, vec!["one two three"]),
            ("one\ntwo", None, vec!["one", "two"]),
            ("one two three", Some((7, 5)), vec!["one two", "three"]),
            ("one two three", Some((3, 9)), vec!["one", "two three"]),
            (
                "mongodb://a.long.name.example:27017/ is long",
                Some((10, 10)),
                vec!["mongodb://a.long.name.example:27017/", "is long"],
            ),
            ("数据 报表 x", Some((4, 6)), vec!["数据", "报表 x"]),
            ("one\ntwo three", Some((80, 8)), vec!["one", "two", "three"]),
            ("", Some((8, 8)), vec![]),
        ] {
            assert_eq!(wrapped(text, width), lines, "{text}");
        }
    }
}
