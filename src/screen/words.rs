//! Formats counts, ages, sizes and names.

use crate::text::escaped;

/// `1 client`, `3 clients`.
pub fn count(number: impl TryInto<u64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A number, empty if zero.
pub fn some(number: u64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

/// Seconds as `12s`, `3m`, `2h 5m`, `3d 4h`.
pub fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: u64, unit: &str, small: u64, next: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit} {small}{next}"),
    };
    match (minutes, hours, days) {
        (0, ..) => format!("{seconds}s"),
        (_, 0, _) => format!("{minutes}m"),
        (.., 0) => two(hours, "h", minutes % 60, "m"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

/// An RFC 3339 time as `3m ago`, relative to `now` in milliseconds since 1970. An invalid time is shown unchanged; a
/// time in the future, since clocks differ, as `0s ago`.
pub fn ago(moment: &str, now: i64) -> String {
    match since(moment, now) {
        Some(seconds) => format!("{} ago", span(seconds)),
        None if moment.is_empty() => String::new(),
        None => escaped(moment),
    }
}

/// Seconds since an RFC 3339 time.
pub fn since(moment: &str, now: i64) -> Option<u64> {
    let moment = bson::DateTime::parse_rfc3339_str(moment).ok()?.timestamp_millis();
    Some(u64::try_from(now.saturating_sub(moment)).unwrap_or(0) / 1000)
}

/// Bytes as `812 B`, `1.2 KiB`, `3.4 GiB`.
pub fn bytes(bytes: u64) -> String {
    let mut unit = 1_u64;
    for name in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if bytes / unit < 1024 || name == "TiB" {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return if unit == 1 { format!("{bytes} B") } else { format!("{}.{} {name}", tenths / 10, tenths % 10) };
        }
        unit *= 1024;
    }
    String::new()
}

/// A text from a peer, escaped; empty if missing.
pub fn name(text: Option<&str>) -> String {
    text.map(escaped).unwrap_or_default()
}

/// The name of an application, or the number of names that share a row.
pub fn named(text: Option<&str>, more_names: Option<u64>) -> String {
    more_names.map_or_else(|| name(text), |more| format!("(about {more} more names)"))
}

/// A driver and its version.
pub fn driver(driver: Option<&str>, version: Option<&str>) -> String {
    let both = [driver, version].into_iter().flatten().map(escaped).collect::<Vec<_>>();
    both.join(" ")
}

/// The notes that exist, separated by semicolons.
pub fn notes<const N: usize>(notes: [Option<String>; N]) -> String {
    notes.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::{ago, bytes, count, driver, span};

    #[test]
    fn numbers_for_people() {
        assert_eq!((count(1_usize, "client"), count(0_u64, "client")), ("1 client".into(), "0 clients".into()));
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m"),
            (3600, "1h"),
            (7500, "2h 5m"),
            (86_399, "23h 59m"),
            (86_400, "1d"),
            (273_600, "3d 4h"),
        ] {
            assert_eq!(span(seconds), text);
        }
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (3_650_722_201, "3.3 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn moments_and_names() {
        let now = 1_700_000_180_500;
        for (moment, text) in [
            ("2023-11-14T22:13:20Z", "3m ago"),
            ("2023-11-14T22:16:20.400Z", "0s ago"),
            ("2030-01-01T00:00:00Z", "0s ago"),
            ("", ""),
            ("yester\u{1b}day", "yester\\u{1b}day"),
        ] {
            assert_eq!(ago(moment, now), text);
        }
        assert_eq!(driver(Some("Py\u{202e}Mongo"), Some("4.6")), "Py\\u{202e}Mongo 4.6");
        assert_eq!(driver(None, None), "");
    }
}
