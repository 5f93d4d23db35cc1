//! Text that a peer supplied, made fit for a log: escaped, so that it cannot forge a line, and cut.

use crate::limits::PEER_TEXT_CHARS;

/// The text with everything but printable characters escaped, at most 200 characters of it.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut escaped: String = text.chars().take(PEER_TEXT_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(PEER_TEXT_CHARS).is_some() {
        escaped.push('…');
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn cannot_forge_a_line_and_is_cut() {
        assert_eq!(printable("db1\n2026 WARN \u{1b}[31mx"), "db1\\n2026 WARN \\u{1b}[31mx");
        assert_eq!(printable(&"a".repeat(300)).chars().count(), 201);
        assert_eq!(printable("größe"), "größe");
    }
}
