//! Moments as the doors show them.

use std::time::SystemTime;

/// RFC 3339, in UTC; empty for a moment that has no such form.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    bson::DateTime::from_system_time(time).try_to_rfc3339_string().unwrap_or_default()
}

/// The same, of milliseconds since 1970.
pub(crate) fn rfc3339_millis(millis: i64) -> String {
    bson::DateTime::from_millis(millis).try_to_rfc3339_string().unwrap_or_default()
}
