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

/// Wraps a text: the first line has at most `first` columns, the others `rest`. A longer word has its own line. Line
/// breaks in the text are kept. Without a width, nothing is wrapped.
fn wrapped(text: &str, width: Option<(usize, usize)>) -> Vec<String> {
    let Some((first, rest)) = width else { return text.lines().map(str::to_owned).collect() };
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in words(paragraph) {
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

/// The words of a paragraph. A command between backticks is one word, so that it can be copied.
fn words(paragraph: &str) -> Vec<&str> {
    let (mut words, mut start, mut in_command) = (Vec::new(), 0, false);
    for (at, letter) in paragraph.char_indices() {
        match letter {
            '`' => in_command = !in_command && paragraph[at + 1..].contains('`'),
            ' ' if !in_command => {
                words.push(&paragraph[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&paragraph[start..]);
    words
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
            ("run `ss -K dst 10.0.0.1` as root", Some((9, 9)), vec!["run", "`ss -K dst 10.0.0.1`", "as root"]),
            ("one ` two", Some((5, 5)), vec!["one `", "two"]),
            ("", Some((8, 8)), vec![]),
        ] {
            assert_eq!(wrapped(text, width), lines, "{text}");
        }
    }
}
