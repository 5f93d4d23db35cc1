//! The reply to `hello`.

use bson::raw::{RawArray, RawBsonRef, RawDocument};
use serde::{Deserialize, Serialize};

use crate::limits::PROBE_MEMBERS;
use crate::text::SHOWN_CHARS;

/// The fields of the reply that are used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HelloReply {
    /// The name of the server's replica set.
    pub set_name: Option<String>,
    /// The name that the server has in its set.
    pub me: Option<String>,
    /// The members in the reply, passives and arbiters included.
    pub hosts: Vec<String>,
    /// The server's state; `None` without a reply.
    pub state: Option<ServerState>,
    /// The server's clock, in milliseconds since 1970.
    pub local_time: Option<i64>,
}

/// The state of a server, as far as `hello` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ServerState {
    /// The primary of its set.
    Primary,
    /// A secondary.
    Secondary,
    /// An arbiter.
    Arbiter,
    /// A mongod that is in no set.
    Standalone,
    /// A mongos.
    Mongos,
    /// A member in any other state, such as STARTUP2, RECOVERING or ROLLBACK, or one of a set that is not initiated.
    #[serde(other)]
    Other,
}

impl ServerState {
    /// The name in replies.
    pub const fn name(self) -> &'static str {
        match self {
            ServerState::Primary => "PRIMARY",
            ServerState::Secondary => "SECONDARY",
            ServerState::Arbiter => "ARBITER",
            ServerState::Standalone => "STANDALONE",
            ServerState::Mongos => "MONGOS",
            ServerState::Other => "OTHER",
        }
    }
}

impl HelloReply {
    /// Reads a reply; `None` if the reply is an error.
    pub(crate) fn read(document: &RawDocument) -> Option<HelloReply> {
        if !truthy(document, "ok") {
            return None;
        }
        let mut hosts: Vec<String> = Vec::new();
        for list in ["hosts", "passives", "arbiters"] {
            let Ok(Some(RawBsonRef::Array(members))) = document.get(list) else { continue };
            hosts.extend(names(members).take(PROBE_MEMBERS - hosts.len().min(PROBE_MEMBERS)));
        }
        Some(HelloReply {
            set_name: text(document, "setName"),
            me: text(document, "me"),
            hosts,
            state: Some(state(document)),
            local_time: document.get_datetime("localTime").ok().map(|at| at.timestamp_millis()),
        })
    }
}

fn state(document: &RawDocument) -> ServerState {
    if truthy(document, "arbiterOnly") {
        ServerState::Arbiter
    } else if document.get_str("msg").is_ok_and(|msg| msg == "isdbgrid") {
        ServerState::Mongos
    } else if document.get_str("setName").is_err() {
        // A member of a set that is not initiated yet has `isreplicaset`.
        if truthy(document, "isreplicaset") { ServerState::Other } else { ServerState::Standalone }
    } else if truthy(document, "ismaster") || truthy(document, "isWritablePrimary") {
        ServerState::Primary
    } else if truthy(document, "secondary") {
        ServerState::Secondary
    } else {
        ServerState::Other
    }
}

fn truthy(document: &RawDocument, key: &str) -> bool {
    match document.get(key) {
        Ok(Some(RawBsonRef::Boolean(value))) => value,
        Ok(Some(RawBsonRef::Double(value))) => value != 0.0,
        Ok(Some(RawBsonRef::Int32(value))) => value != 0,
        Ok(Some(RawBsonRef::Int64(value))) => value != 0,
        _ => false,
    }
}

fn text(document: &RawDocument, key: &str) -> Option<String> {
    document.get_str(key).ok().map(cut)
}

fn names(list: &RawArray) -> impl Iterator<Item = String> {
    list.into_iter().map_while(Result::ok).filter_map(|member| member.as_str().map(cut))
}

fn cut(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::HelloReply;
    use bson::rawdoc;

    #[test]
    fn states_and_members() {
        let rows = [
            (rawdoc! { "ismaster": true, "ok": 1.0 }, "STANDALONE"),
            (rawdoc! { "isreplicaset": true, "ok": 1.0 }, "OTHER"),
            (rawdoc! { "setName": "rs", "ismaster": true, "ok": 1 }, "PRIMARY"),
            (rawdoc! { "setName": "rs", "isWritablePrimary": true, "ok": 1 }, "PRIMARY"),
            (rawdoc! { "setName": "rs", "secondary": true, "ok": 1 }, "SECONDARY"),
            (rawdoc! { "setName": "rs", "arbiterOnly": true, "ok": 1 }, "ARBITER"),
            (rawdoc! { "setName": "rs", "ok": 1 }, "OTHER"),
            (rawdoc! { "msg": "isdbgrid", "ismaster": true, "ok": 1 }, "MONGOS"),
        ];
        for (document, state) in rows {
            assert_eq!(HelloReply::read(&document).unwrap().state.unwrap().name(), state, "{document:?}");
        }
        assert_eq!(HelloReply::read(&rawdoc! { "ok": 0.0, "errmsg": "no" }), None);
        let set = rawdoc! { "ok": 1.0, "setName": "rs", "me": "a:1", "hosts": ["a:1", "b:1"], "arbiters": ["c:1", 5] };
        let hello = HelloReply::read(&set).unwrap();
        assert_eq!((hello.me.as_deref(), hello.hosts), (Some("a:1"), vec!["a:1".into(), "b:1".into(), "c:1".into()]));
    }
}
