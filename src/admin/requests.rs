//! The JSON bodies of requests. Unknown keys are errors, so that a misspelt `guard` is not ignored.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::Recycle;

/// `PUT /mode`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ModeRequest {
    /// The mode, in either spelling.
    pub mode: String,
    /// Allow any mode that can be served.
    #[serde(default)]
    pub force: bool,
    /// Refuse the change if there are warnings.
    #[serde(default)]
    pub guard: bool,
    /// A restart starts in it too.
    #[serde(default)]
    pub persist: bool,
    /// The holder in whose name the request is made, if a lease is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
}

/// `POST /recycle`: moves connections that today's policy would not make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RecycleParameters {
    /// Also connections whose clients may see an error.
    pub force: bool,
    /// After so many seconds, a connection is cut, at a message boundary or not.
    pub grace_secs: Option<u64>,
    /// How long the answer waits for connections to move, in seconds.
    pub wait_secs: Option<u64>,
}

impl From<RecycleParameters> for Recycle {
    fn from(request: RecycleParameters) -> Recycle {
        let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
        Recycle { force: request.force, grace: seconds(request.grace_secs), wait: seconds(request.wait_secs) }
    }
}

/// `POST /accept`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AcceptRequest {
    /// The client, as `GET /clients` calls it.
    pub key: String,
    /// False takes it back.
    #[serde(default = "yes")]
    pub accepted: bool,
    /// False refuses a key that no client has had.
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
    /// Take the lease over from any present holder.
    #[serde(default)]
    pub force: bool,
}

/// `POST /members`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MembersRequest {
    /// The members of each set, as `HOST:PORT`, in place of those known by this request before; none removes the set.
    /// Sets that are not named here stay as they are.
    pub sets: BTreeMap<String, Vec<String>>,
    /// Ignore a lease held by another client.
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
    /// TLS files that are out of date too, in place of some that are not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// The body of what takes nothing: `{}`.
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
