//! Text for logs and replies: escapes and truncates text from peers and operators, so that it cannot forge a log line,
//! and formats times by RFC 3339.

use std::fmt::Write;
use std::time::SystemTime;

/// Length in characters up to which a text of a peer or an operator is shown.
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

/// Like [`rfc3339`], always with microseconds.
pub fn rfc3339_micros(time: SystemTime) -> String {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut text = rfc3339_secs(i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX));
    text.pop();
    let _ = write!(text, ".{:06}Z", since_1970.subsec_micros());
    text
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
    use std::time::{Duration, SystemTime};

    use super::{printable, rfc3339_micros};

    /// Log lines sort by their times, so every time has the same number of digits.
    #[test]
    fn microseconds_have_six_digits() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_000_000, "1970-01-01T00:00:01.000000Z"),
            (1_790_560_145_000_009, "2026-09-28T01:49:05.000009Z"),
            (1_709_251_199_999_999, "2024-02-29T23:59:59.999999Z"),
        ] {
            assert_eq!(rfc3339_micros(SystemTime::UNIX_EPOCH + Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn cannot_forge_a_line_and_is_cut() {
        assert_eq!(printable("db1\n2026 WARN \u{1b}[31mx"), "db1\\n2026 WARN \\u{1b}[31mx");
        assert_eq!(printable(&"a".repeat(300)).chars().count(), 201);
        assert_eq!(printable("the peer's größe"), "the peer's größe");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
    }
}
