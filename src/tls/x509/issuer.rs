//! Whether a certificate may issue others, and whether it has issued a given one: OpenSSL's `X509_check_ca` and
//! `X509_check_akid`.

use rustls::crypto::WebPkiSupportedAlgorithms;
use x509_parser::extensions::{KeyUsage, ParsedExtension};
use x509_parser::prelude::{X509Certificate, X509Extension, X509Version};

/// Whether `issuer` has the key and serial number in the certificate's authority key identifier, if there are any
/// (OpenSSL's `X509_check_akid`).
pub(crate) fn may_be_issued_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    let mut extensions = certificate.extensions().iter().map(X509Extension::parsed_extension);
    let named = extensions.find_map(|extension| {
        let ParsedExtension::AuthorityKeyIdentifier(named) = extension else { return None };
        Some(named)
    });
    let own = issuer.extensions().iter().find_map(|extension| {
        let ParsedExtension::SubjectKeyIdentifier(key) = extension.parsed_extension() else { return None };
        Some(key)
    });
    let Some(named) = named else { return true };
    let is_key = named.key_identifier.as_ref().is_none_or(|key| own.is_none_or(|own| own == key));
    is_key && named.authority_cert_serial.is_none_or(|serial| serial == issuer.raw_serial())
}

pub(crate) fn key_usage<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a KeyUsage> {
    certificate.key_usage().ok().flatten().map(|usage| usage.value)
}

/// OpenSSL's `X509_check_ca` without the Netscape types.
pub(crate) fn is_ca(certificate: &X509Certificate<'_>) -> bool {
    let usage = key_usage(certificate);
    if usage.is_some_and(|usage| !usage.key_cert_sign()) {
        return false;
    }
    match constraints(certificate) {
        Some((is_ca, _)) => is_ca,
        None => {
            usage.is_some()
                || (certificate.version() == X509Version::V1 && certificate.issuer() == certificate.subject())
        }
    }
}

/// Whether a certificate has a critical extension that OpenSSL does not support (`X509_supported_extension`).
pub(crate) fn has_unknown_critical(certificate: &X509Certificate<'_>) -> bool {
    let mut critical = certificate.extensions().iter().filter(|extension| extension.critical);
    critical.any(|extension| !KNOWN_CRITICAL.contains(&extension.oid.to_id_string().as_str()))
}

/// Critical extensions that OpenSSL supports, in this order: the key identifiers, key usage, subject alternative name,
/// basic constraints, name constraints, CRL distribution points, policies, their mappings and constraints, extended key
/// usage, inhibitAnyPolicy; nsCertType; addresses and AS numbers of RFC 3779, OCSP's noCheck, proxyCertInfo.
pub(crate) const KNOWN_CRITICAL: [&str; 17] = [
    "2.5.29.14",
    "2.5.29.35",
    "2.5.29.15",
    "2.5.29.17",
    "2.5.29.19",
    "2.5.29.30",
    "2.5.29.31",
    "2.5.29.32",
    "2.5.29.33",
    "2.5.29.36",
    "2.5.29.37",
    "2.5.29.54",
    "2.16.840.1.113730.1.1",
    "1.3.6.1.5.5.7.1.7",
    "1.3.6.1.5.5.7.1.8",
    "1.3.6.1.5.5.7.48.1.5",
    "1.3.6.1.5.5.7.1.14",
];

/// The basic constraints: whether it is a CA, and the path length if limited.
pub(crate) fn constraints(certificate: &X509Certificate<'_>) -> Option<(bool, Option<u32>)> {
    let constraints = certificate.basic_constraints().ok().flatten()?.value;
    Some((constraints.ca, constraints.path_len_constraint))
}

/// Whether the signature of a message verifies with this key and any supported algorithm.
pub(crate) fn is_signed_by(
    key: &[u8],
    message: &[u8],
    signature: &[u8],
    algorithms: &WebPkiSupportedAlgorithms,
) -> bool {
    algorithms.all.iter().any(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
}
