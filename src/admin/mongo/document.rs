//! Converts replies to BSON documents, with the names and values of their JSON.

use bson::raw::{CString, RawArrayBuf, RawBson, RawDocumentBuf};
use serde::Serialize;
use serde_json::{Map, Value};

/// Converts a reply to a document.
pub(super) fn document(view: &impl Serialize) -> RawDocumentBuf {
    // Replies are structs of plain fields, which serialize to objects.
    match serde_json::to_value(view) {
        Ok(Value::Object(fields)) => object(&fields),
        Ok(_) | Err(_) => RawDocumentBuf::new(),
    }
}

/// Converts replies to an array of documents.
pub(super) fn array(views: &[impl Serialize]) -> RawArrayBuf {
    views.iter().map(|view| RawBson::Document(document(view))).collect()
}

fn object(fields: &Map<String, Value>) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    for (key, value) in fields {
        // This does not fail, since no key has a zero byte.
        if let Ok(key) = CString::try_from(key.as_str()) {
            document.append(key, bson(value));
        }
    }
    document
}

fn bson(value: &Value) -> RawBson {
    match value {
        Value::Null => RawBson::Null,
        Value::Bool(value) => RawBson::Boolean(*value),
        Value::String(text) => RawBson::String(text.clone()),
        Value::Array(values) => RawBson::Array(values.iter().map(bson).collect()),
        Value::Object(fields) => RawBson::Document(object(fields)),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => i32::try_from(whole).map_or(RawBson::Int64(whole), RawBson::Int32),
            None => RawBson::Double(number.as_f64().unwrap_or_default()),
        },
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;
    use serde_json::json;

    use super::document;

    #[test]
    fn the_same_names_and_values() {
        let view = json!({ "a": null, "b": true, "c": "x", "d": [1, { "e": 5_000_000_000_i64 }], "f": 1.5, "g": -1 });
        let expected = rawdoc! {
            "a": null, "b": true, "c": "x", "d": [1, { "e": 5_000_000_000_i64 }], "f": 1.5, "g": -1,
        };
        assert_eq!(document(&view), expected);
    }
}
