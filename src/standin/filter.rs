//! Queries by equality of top-level fields.
//!
//! Operators, dotted paths and regular expressions are refused with an error that names them. Arrays and documents are
//! compared as a whole, so that queries need no recursion.

use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};

use crate::limits::STANDIN_FILTER_BYTES;
use crate::mongo::{CommandFailure, integer};

/// A validated query.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter(RawDocumentBuf);

impl Filter {
    /// Validates a query.
    pub(super) fn new(query: &RawDocument) -> Result<Self, CommandFailure> {
        if query.as_bytes().len() > STANDIN_FILTER_BYTES {
            return Err(CommandFailure::bad_value(format!(
                "the stand-in accepts queries of up to {STANDIN_FILTER_BYTES} bytes"
            )));
        }
        for element in query {
            let (key, value) = element.map_err(|_| CommandFailure::bad_value("malformed query"))?;
            let key = key.as_str();
            let operators = value.as_document().and_then(first_key).is_some_and(|key| key.starts_with('$'));
            let operator = operators || value.as_regex().is_some();
            if operator || key.starts_with('$') || key.contains('.') {
                return Err(CommandFailure::bad_value(format!(
                    "the stand-in supports only queries by equality, not '{key}'"
                )));
            }
        }
        Ok(Self(query.to_owned()))
    }

    pub(super) fn matches(&self, document: &RawDocument) -> bool {
        self.0.iter().flatten().all(|(key, wanted)| match document.get(key.as_str()) {
            Ok(Some(value)) => equal(value, wanted),
            // As in mongod, null also matches a missing field.
            Ok(None) => wanted == RawBsonRef::Null,
            Err(_) => false,
        })
    }
}

/// Equality as in mongod: whole numbers by value, whatever their type; all other values by type and value. (mongod also
/// compares fractions of different types by value.)
fn equal(a: RawBsonRef<'_>, b: RawBsonRef<'_>) -> bool {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn first_key(document: &RawDocument) -> Option<&str> {
    document.iter().next()?.ok().map(|(key, _)| key.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use bson::{raw::RawRegexRef, rawdoc};

    use super::*;

    #[test]
    fn equality_is_mongods() {
        let document = rawdoc! { "_id": 1, "a": "x", "n": 2_i64, "d": { "b": 1 }, "l": [1, 2], "f": 0.5 };
        for (query, expected) in [
            (rawdoc! {}, true),
            (rawdoc! { "_id": 1 }, true),
            (rawdoc! { "_id": 1.0, "n": 2 }, true),
            (rawdoc! { "_id": 1, "a": "y" }, false),
            (rawdoc! { "_id": "1" }, false),
            (rawdoc! { "_id": true }, false),
            (rawdoc! { "d": { "b": 1 } }, true),
            (rawdoc! { "d": { "b": 2 } }, false),
            (rawdoc! { "l": [1, 2] }, true),
            (rawdoc! { "f": 0.5 }, true),
            (rawdoc! { "f": f64::NAN }, false),
            (rawdoc! { "none": bson::raw::RawBson::Null }, true),
            (rawdoc! { "a": bson::raw::RawBson::Null }, false),
            (rawdoc! { "none": 1 }, false),
        ] {
            assert_eq!(Filter::new(&query).unwrap().matches(&document), expected, "{query:?}");
        }
    }

    #[test]
    fn what_is_not_equality_is_refused_by_name() {
        let mut regex = RawDocumentBuf::new();
        let pattern = RawRegexRef { pattern: bson::raw::cstr!("^x"), options: bson::raw::cstr!("") };
        regex.append(bson::raw::cstr!("a"), RawBsonRef::RegularExpression(pattern));
        for (query, named) in [
            (rawdoc! { "a": { "$gt": 1 } }, "'a'"),
            (rawdoc! { "$or": [] }, "'$or'"),
            (rawdoc! { "a.b": 1 }, "'a.b'"),
            (regex, "'a'"),
            (rawdoc! { "a": "x".repeat(STANDIN_FILTER_BYTES) }, "bytes"),
        ] {
            let failure = Filter::new(&query).unwrap_err();
            assert!(failure.number() == 2 && failure.text.contains(named), "{failure:?}");
        }
    }
}
