//! Formats BSON values as mongod prints them in errors, down to a bounded depth.

use std::fmt::Write;

use bson::Bson;
use bson::raw::RawBsonRef;
use bson::spec::BinarySubtype;

use crate::limits::ADMIN_VALUE_LEVELS;

/// mongod's name of the value's type.
pub(super) fn type_name(value: RawBsonRef<'_>) -> &'static str {
    match value {
        RawBsonRef::Double(_) => "double",
        RawBsonRef::String(_) => "string",
        RawBsonRef::Document(_) => "object",
        RawBsonRef::Array(_) => "array",
        RawBsonRef::Binary(_) => "binData",
        RawBsonRef::Undefined => "undefined",
        RawBsonRef::ObjectId(_) => "objectId",
        RawBsonRef::Boolean(_) => "bool",
        RawBsonRef::DateTime(_) => "date",
        RawBsonRef::Null => "null",
        RawBsonRef::RegularExpression(_) => "regex",
        RawBsonRef::DbPointer(_) => "dbPointer",
        RawBsonRef::JavaScriptCode(_) => "javascript",
        RawBsonRef::Symbol(_) => "symbol",
        RawBsonRef::JavaScriptCodeWithScope(_) => "javascriptWithScope",
        RawBsonRef::Int32(_) => "int",
        RawBsonRef::Timestamp(_) => "timestamp",
        RawBsonRef::Int64(_) => "long",
        RawBsonRef::Decimal128(_) => "decimal",
        RawBsonRef::MinKey => "minKey",
        RawBsonRef::MaxKey => "maxKey",
    }
}

/// The text to which mongod converts a string, number or date if it expects a string; `None` for other types.
#[expect(clippy::wildcard_enum_match_arm, reason = "mongod converts no other type")]
pub(super) fn as_text(value: RawBsonRef<'_>) -> Option<String> {
    match value {
        RawBsonRef::String(text) => Some(text.to_owned()),
        RawBsonRef::Int32(number) => Some(number.to_string()),
        RawBsonRef::Int64(number) => Some(number.to_string()),
        RawBsonRef::Double(number) if number.is_nan() => {
            Some(if number.is_sign_negative() { "-nan" } else { "nan" }.to_owned())
        }
        // As C's `%f`.
        RawBsonRef::Double(number) => Some(format!("{number:.6}")),
        RawBsonRef::DateTime(date) => Some(iso(date)),
        _ => None,
    }
}

/// A date in UTC with milliseconds and offset, as mongod prints it.
fn iso(date: bson::DateTime) -> String {
    let millis = date.timestamp_millis();
    let whole = bson::DateTime::from_millis(millis.div_euclid(1000) * 1000);
    // The time has no fraction, so this gives `2024-01-02T03:04:05Z`.
    match whole.try_to_rfc3339_string() {
        Ok(text) => format!("{}.{:03}+00:00", text.trim_end_matches('Z'), millis.rem_euclid(1000)),
        Err(_) => format!("Date({millis})"),
    }
}

/// Formats a value in the syntax of the legacy mongo shell.
pub(super) fn displayed(value: RawBsonRef<'_>) -> String {
    let mut text = String::new();
    print(&mut text, value, 1);
    text
}

#[expect(clippy::wildcard_enum_match_arm, reason = "values of other types are shown by the type's name")]
fn print(text: &mut String, value: RawBsonRef<'_>, level: usize) {
    // Writing to a string does not fail.
    let _ = match value {
        RawBsonRef::Double(number) if number.is_finite() => write!(text, "{number:?}"),
        RawBsonRef::Double(number) => write!(text, "{number}"),
        RawBsonRef::String(inner) | RawBsonRef::Symbol(inner) => write!(text, "\"{inner}\""),
        RawBsonRef::Document(document) => {
            let fields = document.iter().flatten().map(|(key, value)| (Some(key.as_str()), value));
            nested(text, ('{', '}'), fields, level);
            Ok(())
        }
        RawBsonRef::Array(array) => {
            nested(text, ('[', ']'), array.into_iter().flatten().map(|value| (None, value)), level);
            Ok(())
        }
        RawBsonRef::Binary(binary) if binary.subtype == BinarySubtype::Uuid && binary.bytes.len() == 16 => {
            let [a, b, c, d, e] = [0..4, 4..6, 6..8, 8..10, 10..16].map(|part| hex(&binary.bytes[part], false));
            write!(text, "UUID(\"{a}-{b}-{c}-{d}-{e}\")")
        }
        RawBsonRef::Binary(binary) => {
            write!(text, "BinData({}, {})", u8::from(binary.subtype), hex(binary.bytes, true))
        }
        RawBsonRef::ObjectId(id) => write!(text, "ObjectId('{id}')"),
        RawBsonRef::Boolean(value) => write!(text, "{value}"),
        RawBsonRef::DateTime(date) => write!(text, "new Date({})", date.timestamp_millis()),
        RawBsonRef::Null => text.write_str("null"),
        RawBsonRef::RegularExpression(regex) => write!(text, "/{}/{}", regex.pattern, regex.options),
        RawBsonRef::JavaScriptCode(code) => text.write_str(code),
        RawBsonRef::Int32(number) => write!(text, "{number}"),
        RawBsonRef::Int64(number) => write!(text, "{number}"),
        RawBsonRef::Timestamp(stamp) => write!(text, "Timestamp({}, {})", stamp.time, stamp.increment),
        RawBsonRef::MinKey => text.write_str("MinKey"),
        RawBsonRef::MaxKey => text.write_str("MaxKey"),
        RawBsonRef::Undefined => text.write_str("undefined"),
        RawBsonRef::Decimal128(number) => write!(text, "{}", Bson::Decimal128(number)),
        other => text.write_str(type_name(other)),
    };
}

fn nested<'a>(
    text: &mut String,
    (open, close): (char, char),
    fields: impl Iterator<Item = (Option<&'a str>, RawBsonRef<'a>)>,
    level: usize,
) {
    text.push(open);
    if level > ADMIN_VALUE_LEVELS {
        text.push_str(" ... ");
        text.push(close);
        return;
    }
    let mut is_empty = true;
    for (key, value) in fields {
        text.push_str(if is_empty { " " } else { ", " });
        is_empty = false;
        if let Some(key) = key {
            text.push_str(key);
            text.push_str(": ");
        }
        print(text, value, level + 1);
    }
    if !is_empty {
        text.push(' ');
    }
    text.push(close);
}

fn hex(bytes: &[u8], upper: bool) -> String {
    bytes.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect()
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::{as_text, displayed};

    #[test]
    fn as_a_mongod_of_6_0_printed_them() {
        let id: bson::oid::ObjectId = "507f1f77bcf86cd799439011".parse().unwrap();
        let date = bson::DateTime::from_millis(1_704_153_600_000);
        let uuid = bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![0x30; 16] };
        let binary = bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: b"abc".to_vec() };
        let document = rawdoc! {
            "a": [1, 2.5, "x", null, true], "b": {}, "c": 1.0, "d": 5_i64, "e": [], "f": id, "g": date, "h": uuid,
            "i": binary, "j": "q\"q",
        };
        let expected = "{ a: [ 1, 2.5, \"x\", null, true ], b: {}, c: 1.0, d: 5, e: [], \
             f: ObjectId('507f1f77bcf86cd799439011'), g: new Date(1704153600000), \
             h: UUID(\"30303030-3030-3030-3030-303030303030\"), i: BinData(0, 616263), j: \"q\"q\" }";
        assert_eq!(displayed(bson::raw::RawBsonRef::Document(&document)), expected);
    }

    #[test]
    fn numbers_and_dates_become_texts() {
        use bson::raw::RawBsonRef::{Boolean, DateTime, Double, Int64, Null};
        for (value, text) in [
            (Double(1.0), "1.000000"),
            (Double(-0.0), "-0.000000"),
            (Double(1e21), "1000000000000000000000.000000"),
            (Double(f64::NAN), "nan"),
            (Double(f64::NEG_INFINITY), "-inf"),
            (Int64(1 << 40), "1099511627776"),
            (DateTime(bson::DateTime::from_millis(1_704_164_645_678)), "2024-01-02T03:04:05.678+00:00"),
            (DateTime(bson::DateTime::from_millis(-1)), "1969-12-31T23:59:59.999+00:00"),
        ] {
            assert_eq!(as_text(value).as_deref(), Some(text));
        }
        assert_eq!((as_text(Boolean(true)), as_text(Null)), (None, None));
    }

    #[test]
    fn depth_is_bounded() {
        let mut document = rawdoc! { "a": 1 };
        for _ in 0..1_000 {
            document = rawdoc! { "a": document };
        }
        let text = displayed(bson::raw::RawBsonRef::Document(&document));
        assert_eq!((text.matches("{ a:").count(), text.matches("{ ... }").count()), (100, 1));
    }
}
