//! A client that a change of mode would cut off.

use super::key::ClientIdentity;

/// A client that the requested mode would refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockingClient {
    /// Its address, application and driver.
    pub identity: ClientIdentity,
    /// The lowest of the numbers of its rows; `None` if it has no row yet.
    pub number: Option<u64>,
    /// The version of its driver in the row that was last seen.
    pub driver_version: Option<String>,
    /// The approximate number of applications in a shared row.
    pub more_names: Option<u64>,
    /// Number of open connections.
    pub open: u64,
    /// When it was last seen, in milliseconds since 1970; the current time if a connection is open.
    pub last_seen: i64,
}

impl BlockingClient {
    /// Its driver, followed by the version if known.
    pub fn driver(&self) -> Option<String> {
        let name = self.identity.driver.as_deref()?;
        Some(self.driver_version.as_ref().map_or_else(|| name.to_owned(), |version| format!("{name} {version}")))
    }

    pub(super) fn never_seen(identity: ClientIdentity) -> BlockingClient {
        BlockingClient { identity, number: None, driver_version: None, more_names: None, open: 0, last_seen: i64::MIN }
    }
}
