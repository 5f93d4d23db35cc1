//! An answer: the bytes as they came, and what they say.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::admin::replies::{ClientRow, ConnectionRow, LeaseStatus};

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What it says.
    pub value: T,
    /// The JSON as it came, with what a later version has added.
    pub json: String,
}

/// `GET /clients`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// A row for each peer, kind and application.
    pub clients: Vec<ClientRow>,
    /// The mode in force, in the older spelling.
    #[serde(default, rename = "sslMode")]
    pub ssl_mode: String,
}

/// `GET /connections`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// The open ones.
    pub connections: Vec<ConnectionRow>,
    /// How many more are open that did not fit the answer.
    #[serde(default, rename = "leftOut")]
    pub left_out: usize,
}

/// `POST /lease`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it now.
    pub lease: Option<LeaseStatus>,
}

/// Reads a JSON object that has all of these keys. Every field of our own types may be missing, since versions differ:
/// so that not anyone's object is taken for an answer, the keys that each version has are looked for.
pub(super) fn parse<T: DeserializeOwned>(json: &str, keys: &[&str]) -> Option<T> {
    let object: BTreeMap<String, IgnoredAny> = serde_json::from_str(json).ok()?;
    if !keys.iter().all(|key| object.contains_key(*key)) {
        return None;
    }
    serde_json::from_str(json).ok()
}
