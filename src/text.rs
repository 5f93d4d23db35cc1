//! Text for logs and replies: escapes and truncates text from peers and operators, so that it cannot forge a log line,
//! and formats times by RFC 3339.

use std::time::SystemTime;

/// Longest shown text of a peer or an operator, in characters.
pub const SHOWN_CHARS: usize = 200;

/// Escapes unprintable characters and truncates the text to 200 characters.
pub fn printable(text: &str) -> String {
    let Some((cut, _)) = text.char_indices().nth(SHOWN_CHARS) else { return escaped(text) };
    escaped(&text[..cut]) + "…"
}

/// Escapes unprintable characters, for a text whose length is already bounded.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            // The log escapes quotes itself.
            '\'' | '"' => escaped.push(letter),
            _ => escaped.extend(letter.escape_debug()),
        }
    }
    escaped
}

/// Formats a time by RFC 3339, in UTC; empty if RFC 3339 cannot represent the time.
pub fn rfc3339(time: SystemTime) -> String {
    bson::DateTime::from_system_time(time).try_to_rfc3339_string().unwrap_or_default()
}

/// Like [`rfc3339`], from seconds since 1970.
pub fn rfc3339_secs(seconds: i64) -> String {
    rfc3339_millis(seconds.saturating_mul(1000))
}

/// Like [`rfc3339`], from milliseconds since 1970.
pub fn rfc3339_millis(millis: i64) -> String {
    bson::DateTime::from_millis(millis).try_to_rfc3339_string().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn cannot_forge_a_line_and_is_cut() {
        assert_eq!(printable("db1\n2026 WARN \u{1b}[31mx"), "db1\\n2026 WARN \\u{1b}[31mx");
        assert_eq!(printable(&"a".repeat(300)).chars().count(), 201);
        assert_eq!(printable("the peer's größe"), "the peer's größe");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
    }
}
