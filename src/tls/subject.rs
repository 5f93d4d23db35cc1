//! A certificate's subject as RFC 4514 writes it, and mongod with it: most specific first, `CN=client,O=example`.

use rustls::pki_types::CertificateDer;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The subject of a certificate; none if it cannot be parsed.
#[must_use]
pub fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    X509Certificate::from_der(certificate).ok().map(|(_, certificate)| rfc4514(certificate.subject()))
}

/// A name with its values escaped, so that none can pose as more than one.
pub(super) fn rfc4514(name: &X509Name<'_>) -> String {
    let names: Vec<_> = name.iter_rdn().map(|rdn| rdn.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    names.into_iter().rev().collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = oid2abbrev(attribute.attr_type(), oid_registry())
        .map_or_else(|_| attribute.attr_type().to_id_string(), str::to_owned);
    match attribute.as_str() {
        Ok(value) => format!("{kind}={}", escaped(value)),
        Err(_) => {
            let hex: String = attribute.as_slice().iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{kind}=#{hex}")
        }
    }
}

/// RFC 4514, section 2.4.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (at, letter) in value.chars().enumerate() {
        let anywhere = matches!(letter, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=');
        let outside = (letter == ' ' && (at == 0 || at == last)) || (letter == '#' && at == 0);
        if anywhere || outside {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{escaped, subject};
    use certs_gen::{Authority, Request};
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    #[test]
    fn most_specific_first() {
        let issued = Authority::new("CA").unwrap().issue(&Request::client("a,O=b").organization("c")).unwrap();
        let certificate = CertificateDer::from_pem_slice(issued.cert_pem().as_bytes()).unwrap();
        assert_eq!(subject(&certificate).as_deref(), Some("CN=a\\,O\\=b,O=c"));
    }

    #[test]
    fn no_value_poses_as_two() {
        for (value, text) in [("a, b", "a\\, b"), (" a ", "\\ a\\ "), ("#1", "\\#1"), ("a#1", "a#1"), ("x\\", "x\\\\")]
        {
            assert_eq!(escaped(value), text);
        }
    }
}
