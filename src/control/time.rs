//! Moments as the doors show them.

use std::time::{SystemTime, UNIX_EPOCH};

/// RFC 3339, in UTC; empty for a moment that has no such form.
pub(super) fn rfc3339(time: SystemTime) -> String {
    bson::DateTime::from_system_time(time).try_to_rfc3339_string().unwrap_or_default()
}

/// The same, of milliseconds since 1970.
pub(super) fn rfc3339_millis(millis: i64) -> String {
    bson::DateTime::from_millis(millis).try_to_rfc3339_string().unwrap_or_default()
}

/// Milliseconds since 1970 now.
pub(super) fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
