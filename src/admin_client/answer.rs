//! Replies of the admin port, parsed and as JSON.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::admin::replies::{ClientRow, ConnectionRow, LeaseStatus};

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The parsed reply.
    pub value: T,
    /// The JSON as received, including fields that only later versions have.
    pub json: String,
}

/// Reply to `GET /clients`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// One row for each combination of address, kind of connection, application and driver.
    pub clients: Vec<ClientRow>,
    /// The mode in force, in the older spelling.
    #[serde(default, rename = "sslMode")]
    pub ssl_mode: String,
}

/// Reply to `GET /connections`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// The open connections, and those that wait for a connection slot.
    pub connections: Vec<ConnectionRow>,
    /// The number of connections that did not fit into the reply.
    #[serde(default, rename = "leftOut")]
    pub left_out: usize,
}

/// Reply to `POST /lease`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseReply {
    /// The lease in force.
    pub lease: Option<LeaseStatus>,
}

/// Parses a JSON object that must have all of these keys: every version sends them, and they tell this reply from any
/// other object. Other fields may be missing, because versions differ.
pub(super) fn parse<T: DeserializeOwned>(json: &str, keys: &[&str]) -> Option<T> {
    let object: BTreeMap<String, IgnoredAny> = serde_json::from_str(json).ok()?;
    if !keys.iter().all(|key| object.contains_key(*key)) {
        return None;
    }
    serde_json::from_str(json).ok()
}
