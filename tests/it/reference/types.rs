//! Types of JSON documents, read from the structs of the source: their fields with type and documentation.

use std::collections::BTreeMap;

use serde_json::Value;

/// The structs, by name.
#[derive(Debug)]
pub(super) struct Types(BTreeMap<String, Struct>);

#[derive(Debug)]
struct Struct {
    doc: String,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    name: String,
    /// Its type in Rust.
    kind: String,
    doc: String,
    /// Whether it is left out if it is empty.
    optional: bool,
}

impl Types {
    pub(super) fn of(sources: &[String]) -> Types {
        let mut types = BTreeMap::new();
        for rest in
            sources.iter().flat_map(|source| source.split("\npub struct ").skip(1).zip(source.split("\npub struct ")))
        {
            let (text, before) = rest;
            let Some((name, body)) = text.split_once(" {\n") else { continue };
            let body = body.split("\n}").next().unwrap_or_default();
            types.insert(name.to_owned(), Struct { doc: trailing_doc(before), fields: fields(body) });
        }
        Types(types)
    }

    /// A section for each of these types.
    pub(super) fn text(&self, names: &[&str]) -> String {
        let mut text = String::new();
        for name in names {
            let one = self.get(name);
            text.push_str(&format!("### {name}\n\n{}\n\n| field | type | meaning |\n|---|---|---|\n", one.doc));
            for Field { name, kind, doc, optional } in &one.fields {
                let absent = if *optional { " May be absent." } else { "" };
                text.push_str(&format!("| `{name}` | {} | {doc}{absent} |\n", json_type(kind)));
            }
            text.push('\n');
        }
        text
    }

    /// Whether a document has the fields of a shape and no others. A shape is a type's name, or `key=Type` or
    /// `key=[Type]` for a document with a value or a list under that key.
    #[track_caller]
    pub(super) fn check(&self, place: &str, value: &Value, shape: &str) {
        match shape.split_once('=') {
            None if shape.is_empty() => {}
            None => self.check_type(place, value, shape),
            Some((key, kind)) => match kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')) {
                None => self.check_type(place, &value[key], kind),
                Some(kind) => {
                    let list = value[key].as_array().unwrap_or_else(|| panic!("{place}: no list {key}: {value}"));
                    assert!(!list.is_empty(), "{place}: nothing in {key}, so nothing is checked");
                    list.iter().for_each(|one| self.check_type(place, one, kind));
                }
            },
        }
    }

    #[track_caller]
    fn check_type(&self, place: &str, value: &Value, name: &str) {
        let fields = &self.get(name).fields;
        let object = value.as_object().unwrap_or_else(|| panic!("{place}: no {name}: {value}"));
        for key in object.keys() {
            assert!(fields.iter().any(|field| field.name == *key), "{place}: {name} has no field {key}");
        }
        for Field { name: key, kind, optional, .. } in fields {
            let value = object.get(key);
            assert!(value.is_some() || *optional, "{place}: {name} lacks {key}");
            let inner = inner(kind);
            if self.0.contains_key(inner) {
                let values = value.into_iter().filter(|value| !value.is_null());
                let values =
                    values.flat_map(|value| value.as_array().map_or_else(|| vec![value], |all| all.iter().collect()));
                values.for_each(|value| self.check_type(place, value, inner));
            }
        }
    }

    #[track_caller]
    fn get(&self, name: &str) -> &Struct {
        self.0.get(name).unwrap_or_else(|| panic!("no type {name}"))
    }
}

/// The variants of an enum, each with its documentation.
pub(super) fn variants(source: &str, name: &str) -> Vec<(String, String)> {
    let body = source.split_once(&format!("\npub enum {name} {{\n")).expect("the enum").1.split("\n}").next().unwrap();
    let mut doc = Vec::new();
    let mut found = Vec::new();
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim());
        } else if let Some(variant) = line.strip_suffix(',') {
            found.push((variant.to_owned(), doc.join(" ")));
            doc.clear();
        }
    }
    found
}

fn fields(body: &str) -> Vec<Field> {
    let (mut doc, mut optional, mut fields) = (Vec::new(), false, Vec::new());
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim());
        } else if line.starts_with('#') {
            optional |= line.contains("skip_serializing_if");
        } else if let Some((name, kind)) =
            line.strip_prefix("pub ").and_then(|line| line.trim_end_matches(',').split_once(": "))
        {
            let (name, kind, doc_text) = (camel(name), kind.to_owned(), doc.join(" ").replace('|', "\\|"));
            fields.push(Field { name, kind, doc: doc_text, optional });
            (doc, optional) = (Vec::new(), false);
        }
    }
    fields
}

/// The documentation at the end of a text, before the attributes of the item that follows.
fn trailing_doc(before: &str) -> String {
    let mut doc: Vec<_> = before.lines().rev().skip_while(|line| line.starts_with("#[")).collect();
    doc.truncate(doc.iter().take_while(|line| line.starts_with("///")).count());
    let lines = doc.iter().rev().map(|line| line.trim_start_matches('/').trim());
    lines.collect::<Vec<_>>().join(" ")
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| format!("{all}{}{}", word[..1].to_uppercase(), &word[1..]))
}

/// The type within `Option<...>` and `Vec<...>`.
fn inner(kind: &str) -> &str {
    let within = ["Option<", "Vec<"].iter().find_map(|outer| kind.strip_prefix(outer)?.strip_suffix('>'));
    within.map_or(kind, inner)
}

fn json_type(kind: &str) -> String {
    if let Some(kind) = kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>')) {
        return format!("{} or null", json_type(kind));
    }
    if let Some(kind) = kind.strip_prefix("Vec<").and_then(|kind| kind.strip_suffix('>')) {
        return format!("list of {}", json_type(kind));
    }
    match kind {
        "String" | "Action" | "Effect" | "DoctorCheck" | "CheckVerdict" => "string".to_owned(),
        "BlockerKind" => "[kind](#kinds-of-blockers)".to_owned(),
        "bool" => "boolean".to_owned(),
        "u32" | "u64" | "i64" | "usize" => "number".to_owned(),
        "BTreeMap<String, Vec<String>>" => "object of lists of string".to_owned(),
        name => format!("[{name}](#{})", name.to_lowercase()),
    }
}

/// Where the structs are.
pub(super) const FILES: [&str; 8] = [
    "src/admin/replies/changes.rs",
    "src/admin/replies/doctor.rs",
    "src/admin/replies/rows.rs",
    "src/admin/replies/servers.rs",
    "src/admin/replies/status.rs",
    "src/admin/requests.rs",
    "src/control/doctor/finding.rs",
    "src/control/history.rs",
];

/// The bodies of requests.
pub(super) const REQUESTS: &[&str] =
    &["ModeRequest", "ReadAgainRequest", "RecycleParameters", "AcceptRequest", "LeaseRequest", "MembersRequest"];

/// The bodies of replies, and the types in them.
pub(super) const REPLIES: &[&str] = &[
    "Status",
    "RouteStatus",
    "UpstreamStatus",
    "OtherLink",
    "LinkStatus",
    "MemberStatus",
    "BypassStatus",
    "ConnectionCounts",
    "SlotStatus",
    "CertificateStatus",
    "RefusedChange",
    "LeaseStatus",
    "InventoryStatus",
    "ClientRow",
    "ConnectionRow",
    "HistoryEntry",
    "DoctorReply",
    "DoctorFinding",
    "Ready",
    "BlockerReply",
    "ModeReply",
    "RotateReply",
    "RecycleReply",
    "AcceptReply",
    "MembersReply",
    "ErrorReply",
];
