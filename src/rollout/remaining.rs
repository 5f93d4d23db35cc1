//! A text for each old connection that remains: its client, its route, the time when it was opened, and why it remains.
//! PURE.

use bson::DateTime;

use super::limits::NAMED_IN_LINE;
use crate::admin::replies::ConnectionRow;
use crate::text::printable;

/// Names the first few connections in one line, and the number of the others. `now` is in milliseconds since 1970.
pub(super) fn in_a_line(rows: &[ConnectionRow], now: i64) -> String {
    lines(rows, NAMED_IN_LINE, now).join("; ")
}

/// A line for each connection, up to the bound `most`, and the number of the others.
pub(super) fn lines(rows: &[ConnectionRow], most: usize, now: i64) -> Vec<String> {
    let mut lines: Vec<_> = rows.iter().take(most).map(|row| line(row, now)).collect();
    lines.extend((rows.len() > most).then(|| format!("and {} more", rows.len() - most)));
    lines
}

fn line(row: &ConnectionRow, now: i64) -> String {
    let upstream = row.upstream.as_deref().map(|to| format!(" to {}", printable(to))).unwrap_or_default();
    let kind = row.non_conforming.as_deref().map(|kind| format!(" ({})", printable(kind))).unwrap_or_default();
    let why = if row.recycling {
        "being recycled, but it has reached no message boundary yet"
    } else {
        "left open, because its client may see an error"
    };
    format!(
        "{} at {} on {}{upstream}{kind}, open since {}: {why}",
        client(row),
        printable(&row.peer),
        printable(&row.route),
        since(now, row.age_secs),
    )
}

fn client(row: &ConnectionRow) -> String {
    let name = row.application.as_deref().or(row.driver.as_deref()).map(printable);
    match (row.member, name) {
        (true, Some(name)) => format!("member {name}"),
        (true, None) => "a member".to_owned(),
        (false, Some(name)) => format!("application {name}"),
        (false, None) => "an unknown client".to_owned(),
    }
}

/// The time when the connection was opened, to the minute. It is computed from an age in whole seconds, so its seconds
/// may differ by one between two polls, and a line that differs is printed again.
fn since(now: i64, age_secs: u64) -> String {
    let age = i64::try_from(age_secs).unwrap_or(i64::MAX).saturating_mul(1000);
    let text = DateTime::from_millis(now.saturating_sub(age)).try_to_rfc3339_string().unwrap_or_default();
    match text.get(..MINUTES) {
        Some(minutes) => format!("{minutes}Z"),
        None => format!("{age_secs} s ago"),
    }
}

/// Length of an RFC 3339 time down to its minutes.
const MINUTES: usize = "2023-11-14T22:13".len();

#[cfg(test)]
mod tests {
    use super::{in_a_line, lines};
    use crate::admin::replies::ConnectionRow;

    #[test]
    fn each_connection_has_its_client_time_and_reason() {
        let row = ConnectionRow {
            peer: "10.0.0.7:4000".into(),
            route: "inbound".into(),
            application: Some("rep\norts".into()),
            upstream: Some("127.0.0.1:27018".into()),
            non_conforming: Some("plaintext client".into()),
            age_secs: 60,
            recycling: true,
            ..ConnectionRow::default()
        };
        let now = 1_700_000_000_000;
        let expected = r"application rep\norts at 10.0.0.7:4000 on inbound to 127.0.0.1:27018 (plaintext client), open since 2023-11-14T22:12Z: being recycled, but it has reached no message boundary yet";
        assert_eq!(in_a_line(std::slice::from_ref(&row), now), expected);
        let bare =
            ConnectionRow { peer: "p".into(), route: "outbound a:1".into(), member: true, ..ConnectionRow::default() };
        let expected = "a member at p on outbound a:1, open since 2023-11-14T22:13Z: left open, because its client may see an error";
        assert_eq!(lines(std::slice::from_ref(&bare), 9, now), [expected]);
        let many = vec![bare; 6];
        assert!(in_a_line(&many, now).ends_with("; and 2 more"));
        assert_eq!(lines(&many, 5, now).last().unwrap(), "and 1 more");
        let old = ConnectionRow { age_secs: u64::MAX, ..row };
        assert!(lines(&[old], 1, now)[0].contains("open since"), "a silly age is no panic");
    }
}
