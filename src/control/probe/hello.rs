//! What a server says of itself in its `hello`.

use bson::raw::{RawArray, RawBsonRef, RawDocument};

use crate::limits::{PROBE_MEMBERS, SHOWN_CHARS};

/// A server's answer, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) set_name: Option<String>,
    pub(crate) me: Option<String>,
    /// Hosts, passives and arbiters.
    pub(crate) hosts: Vec<String>,
    pub(crate) state: &'static str,
}

impl Hello {
    /// Reads an answer; none if it is an error.
    pub(crate) fn read(document: &RawDocument) -> Option<Hello> {
        if !truthy(document, "ok") {
            return None;
        }
        let mut hosts: Vec<String> = Vec::new();
        for list in ["hosts", "passives", "arbiters"] {
            let Ok(Some(RawBsonRef::Array(members))) = document.get(list) else { continue };
            hosts.extend(names(members).take(PROBE_MEMBERS - hosts.len().min(PROBE_MEMBERS)));
        }
        Some(Hello { set_name: text(document, "setName"), me: text(document, "me"), hosts, state: state(document) })
    }
}

fn state(document: &RawDocument) -> &'static str {
    if truthy(document, "arbiterOnly") {
        "ARBITER"
    } else if document.get_str("msg").is_ok_and(|msg| msg == "isdbgrid") {
        "MONGOS"
    } else if document.get_str("setName").is_err() {
        // A member of a set that is not initiated yet says so by `isreplicaset`.
        if truthy(document, "isreplicaset") { "OTHER" } else { "STANDALONE" }
    } else if truthy(document, "ismaster") || truthy(document, "isWritablePrimary") {
        "PRIMARY"
    } else if truthy(document, "secondary") {
        "SECONDARY"
    } else {
        "OTHER"
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
    use super::Hello;
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
            assert_eq!(Hello::read(&document).unwrap().state, state, "{document:?}");
        }
        assert_eq!(Hello::read(&rawdoc! { "ok": 0.0, "errmsg": "no" }), None);
        let set = rawdoc! { "ok": 1.0, "setName": "rs", "me": "a:1", "hosts": ["a:1", "b:1"], "arbiters": ["c:1", 5] };
        let hello = Hello::read(&set).unwrap();
        assert_eq!((hello.me.as_deref(), hello.hosts), (Some("a:1"), vec!["a:1".into(), "b:1".into(), "c:1".into()]));
    }
}
