//! A certificate's subject as RFC 4514 writes it, and mongod with it: most specific first, `CN=client,O=example`.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The subject of a certificate; none if it cannot be parsed.
#[must_use]
pub fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    X509Certificate::from_der(certificate).ok().map(|(_, certificate)| rfc4514(certificate.subject()))
}

/// The subject alternative names of a certificate, each with its kind before it as OpenSSL writes them: `DNS:`, `IP:`,
/// `email:`, `URI:`. Other kinds are left out; so is everything if it cannot be parsed.
#[must_use]
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    names.value.general_names.iter().filter_map(name).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign list without an end")]
    match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
        GeneralName::RFC822Name(name) => Some(format!("email:{name}")),
        GeneralName::URI(name) => Some(format!("URI:{name}")),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let ip = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok()?;
            Some(format!("IP:{ip}"))
        }
        _ => None,
    }
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
    use super::{escaped, names, subject};
    use certs_gen::{Authority, Request};
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    #[test]
    fn most_specific_first() {
        let issued = Authority::new("CA").unwrap().issue(&Request::client("a,O=b").organization("c")).unwrap();
        let certificate = CertificateDer::from_pem_slice(issued.cert_pem().as_bytes()).unwrap();
        assert_eq!(subject(&certificate).as_deref(), Some("CN=a\\,O\\=b,O=c"));
    }

    #[test]
    fn names_have_their_kinds() {
        let request = Request::server("a").names(["a.example.net", "10.0.0.1", "::1"]);
        let issued = Authority::new("CA").unwrap().issue(&request).unwrap();
        let certificate = CertificateDer::from_pem_slice(issued.cert_pem().as_bytes()).unwrap();
        assert_eq!(names(&certificate), ["DNS:a.example.net", "IP:10.0.0.1", "IP:::1"]);
    }

    #[test]
    fn no_value_poses_as_two() {
        for (value, text) in [("a, b", "a\\, b"), (" a ", "\\ a\\ "), ("#1", "\\#1"), ("a#1", "a#1"), ("x\\", "x\\\\")]
        {
            assert_eq!(escaped(value), text);
        }
    }
}
