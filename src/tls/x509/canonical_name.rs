//! Compares distinguished names as OpenSSL does (`x509_name_canon`): regardless of the ASN.1 string type, ASCII case,
//! and white space around and between words. webpki compares names byte for byte.

use x509_parser::asn1_rs::Tag;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Whether OpenSSL considers two names equal.
pub(crate) fn is_same(one: &X509Name<'_>, other: &X509Name<'_>) -> bool {
    one.as_raw() == other.as_raw() || canonical(one) == canonical(other)
}

/// A name in canonical form: its RDNs in order, each a set of types and values.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CanonicalName(Vec<Vec<(String, Value)>>);

pub(crate) fn canonical(name: &X509Name<'_>) -> CanonicalName {
    let relative = name.iter_rdn().map(|relative| {
        let mut set: Vec<_> = relative.iter().map(|one| (one.attr_type().to_id_string(), value(one))).collect();
        set.sort();
        set
    });
    CanonicalName(relative.collect())
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Text(String),
    /// A value that is not one of the usual types of strings, or cannot be decoded: its tag and bytes.
    Other(u32, Vec<u8>),
}

fn value(attribute: &AttributeTypeAndValue<'_>) -> Value {
    let (tag, bytes) = (attribute.attr_value().tag(), attribute.as_slice());
    let units = |size: usize| {
        bytes
            .chunks(size)
            .map(|unit| unit.iter().fold(0, |unit, byte| unit << 8 | u32::from(*byte)))
            .collect::<Vec<_>>()
    };
    let from_units = |units: Vec<u32>| units.into_iter().map(char::from_u32).collect::<Option<String>>();
    let text = match tag {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::VisibleString => {
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        }
        Tag::T61String => from_units(units(1)),
        Tag::BmpString => from_units(units(2)),
        Tag::UniversalString => from_units(units(4)),
        _ => None,
    };
    match text {
        Some(text) => Value::Text(text.split_ascii_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase()),
        None => Value::Other(tag.0, bytes.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Name};

    use super::is_same;

    /// Encodes a name that consists of one common name of this string type and these bytes.
    fn name(tag: u8, text: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, content: Vec<u8>| [vec![tag, u8::try_from(content.len()).unwrap()], content].concat();
        let value = wrap(tag, text.to_vec());
        wrap(0x30, wrap(0x31, wrap(0x30, [&[6, 3, 0x55, 4, 3][..], &value].concat())))
    }

    #[test]
    fn names_are_compared_as_openssl_compares_them() {
        const UTF8: u8 = 12;
        const PRINTABLE: u8 = 19;
        const BMP: u8 = 30;
        const OCTETS: u8 = 4;
        let rows: [(u8, &[u8], bool); 9] = [
            (UTF8, b"My CA", true),
            (PRINTABLE, b"My CA", true),
            (PRINTABLE, b"my ca", true),
            (UTF8, b"  My   CA ", true),
            (UTF8, b"My\tCA", true),
            (BMP, b"\0M\0y\0 \0C\0A", true),
            (UTF8, b"MyCA", false),
            (UTF8, b"My CA 2", false),
            (OCTETS, b"My CA", false),
        ];
        let ours = name(PRINTABLE, b"My CA");
        let (_, ours) = X509Name::from_der(&ours).unwrap();
        for (tag, text, expected) in rows {
            let theirs = name(tag, text);
            let (_, theirs) = X509Name::from_der(&theirs).unwrap();
            assert_eq!(is_same(&ours, &theirs), expected, "{tag} {text:?}");
        }
    }
}
