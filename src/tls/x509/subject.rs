//! Subjects of certificates in the form of RFC 4514, as mongod writes them, most specific first: `CN=client,O=example`.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The subject of a certificate; `None` if it cannot be parsed.
pub fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    X509Certificate::from_der(certificate).ok().map(|(_, certificate)| rfc4514(certificate.subject()))
}

/// `notAfter` of a certificate in seconds since 1970; `None` if it cannot be parsed.
#[must_use]
pub fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    X509Certificate::from_der(certificate).ok().map(|(_, certificate)| certificate.validity().not_after.timestamp())
}

/// The subject alternative names of a certificate, prefixed with their kinds as OpenSSL writes them: `DNS:`, `IP:`,
/// `email:`, `URI:`. Other kinds are left out. Empty if the certificate cannot be parsed.
pub fn subject_alt_names(certificate: &CertificateDer<'_>) -> Vec<String> {
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

/// A distinguished name with escaped values, so that a value cannot be mistaken for several attributes.
pub(crate) fn rfc4514(name: &X509Name<'_>) -> String {
    let names: Vec<_> = name.iter_rdn().map(|rdn| rdn.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    names.into_iter().rev().collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let openssl = OPENSSL_NAMES.iter().find(|(known, _)| *known == oid).map(|(_, name)| (*name).to_owned());
    let kind = openssl.unwrap_or_else(|| oid2abbrev(attribute.attr_type(), oid_registry()).map_or(oid, str::to_owned));
    match attribute.as_str() {
        Ok(value) => format!("{kind}={}", escaped(value)),
        Err(_) => {
            let hex: String = attribute.as_slice().iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{kind}=#{hex}")
        }
    }
}

/// Escapes a value by RFC 4514, section 2.4.
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

/// Attributes that OpenSSL and mongod name differently from x509-parser.
const OPENSSL_NAMES: [(&str, &str); 7] = [
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("2.5.4.4", "SN"),
    ("2.5.4.42", "GN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.12", "title"),
];

#[cfg(test)]
mod tests {
    use super::{escaped, subject, subject_alt_names};
    use certs_gen::{Authority, Request};
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    #[test]
    fn most_specific_first() {
        let issued = Authority::new("CA").unwrap().issue(&Request::client("a,O=b").organization("c")).unwrap();
        let certificate = CertificateDer::from_pem_slice(issued.cert_pem().as_bytes()).unwrap();
        assert_eq!(subject(&certificate).as_deref(), Some("CN=a\\,O\\=b,O=c"));
    }

    #[test]
    fn attributes_have_the_names_of_openssl() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new("openssl");
        let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout k -subj";
        let subject_of = "/DC=net/O=b/SN=c/GN=d/UID=e/serialNumber=7/title=f/CN=a/emailAddress=g@h";
        let output = command.current_dir(&folder).args(request.split(' ')).arg(subject_of).output().unwrap();
        let certificate = CertificateDer::from_pem_slice(&output.stdout).unwrap();
        let expected = "emailAddress=g@h,CN=a,title=f,serialNumber=7,UID=e,GN=d,SN=c,O=b,DC=net";
        assert_eq!(subject(&certificate).as_deref(), Some(expected));
    }

    #[test]
    fn names_have_their_kinds() {
        let request = Request::server("a").names(["a.example.net", "10.0.0.1", "::1"]);
        let issued = Authority::new("CA").unwrap().issue(&request).unwrap();
        let certificate = CertificateDer::from_pem_slice(issued.cert_pem().as_bytes()).unwrap();
        assert_eq!(subject_alt_names(&certificate), ["DNS:a.example.net", "IP:10.0.0.1", "IP:::1"]);
    }

    #[test]
    fn no_value_poses_as_two() {
        for (value, text) in [("a, b", "a\\, b"), (" a ", "\\ a\\ "), ("#1", "\\#1"), ("a#1", "a#1"), ("x\\", "x\\\\")]
        {
            assert_eq!(escaped(value), text);
        }
    }
}
