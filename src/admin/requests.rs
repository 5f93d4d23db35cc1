//! The JSON bodies of requests. Unknown keys are errors, so that a misspelt `guard` does not go unnoticed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::Recycle;
use crate::limits::{RECYCLE_GRACE_MOST, RECYCLE_WAIT_MOST};

/// `PUT /mode`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ModeRequest {
    /// The mode, in either spelling.
    pub mode: String,
    /// Whether to allow any mode that can be served, even if servers are cut off.
    #[serde(default)]
    pub force: bool,
    /// Whether to refuse the change if there is any blocker.
    #[serde(default)]
    pub guard: bool,
    /// Whether a restart starts in this mode too.
    #[serde(default)]
    pub persist: bool,
    /// The holder in whose name the request is made, if a lease is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
}

/// `POST /recycle`: recycles connections that the present policy would not make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RecycleParameters {
    /// Whether to include connections whose clients may see an error.
    pub force: bool,
    /// The number of seconds after which a connection is cut even within a message: 0 to 86,400, a day.
    pub grace_secs: Option<u64>,
    /// The number of seconds for which the reply waits for connections to end: 0 to 600.
    pub wait_secs: Option<u64>,
}

impl TryFrom<RecycleParameters> for Recycle {
    /// The reason, for the caller.
    type Error = String;

    fn try_from(request: RecycleParameters) -> Result<Recycle, String> {
        let within = |field: &str, seconds: Option<u64>, most: Duration| match seconds.map(Duration::from_secs) {
            Some(given) if given > most => {
                Err(format!("{field} is {}; expected 0 to {}", given.as_secs(), most.as_secs()))
            }
            given => Ok(given),
        };
        let grace = within("graceSecs", request.grace_secs, RECYCLE_GRACE_MOST)?;
        let wait = within("waitSecs", request.wait_secs, RECYCLE_WAIT_MOST)?;
        Ok(Recycle { force: request.force, grace, wait })
    }
}

/// `POST /accept`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AcceptRequest {
    /// The client's key in `GET /clients`.
    pub key: String,
    /// False withdraws the acceptance.
    #[serde(default = "yes")]
    pub accepted: bool,
    /// Whether to accept a key that no client has had.
    #[serde(default = "yes")]
    pub unseen: bool,
}

/// `POST /lease`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LeaseRequest {
    /// The holder: 1 to 128 characters.
    pub holder: String,
    /// The duration in seconds, 0 to 3600; 0 releases the lease.
    pub ttl_secs: u64,
    /// Whether to take the lease from another holder.
    #[serde(default)]
    pub force: bool,
}

/// `POST /members`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MembersRequest {
    /// The members of each set, as `HOST:PORT`. They replace the set's previous members; an empty list removes the set.
    /// Sets that are not named here stay as they are.
    pub sets: BTreeMap<String, Vec<String>>,
    /// Whether to ignore a lease held by another client.
    #[serde(default)]
    pub force: bool,
    /// The holder in whose name the request is made, if a lease is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
}

/// `POST /rotate` and `POST /reload`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadAgainRequest {
    /// Whether to accept TLS files that are out of date although those in force are not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// The body of a request without fields: `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::{AcceptRequest, ModeRequest, Nothing};

    #[test]
    fn keys_are_known_or_refused() {
        let mode: ModeRequest = serde_json::from_str(r#"{"mode":"requireSSL","guard":true}"#).unwrap();
        assert!(mode.guard && !mode.force);
        assert!(serde_json::from_str::<AcceptRequest>(r#"{"key":"a"}"#).unwrap().accepted);
        for wrong in ["{}", r#"{"mode":1}"#, r#"{"mode":"a","gaurd":true}"#, r#"{"mode":"a","mode":"b"}"#, "[]", ""] {
            assert!(serde_json::from_str::<ModeRequest>(wrong).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<Nothing>("{}").is_ok() && serde_json::from_str::<Nothing>("{\"a\":1}").is_err());
    }
}
