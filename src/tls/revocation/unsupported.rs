//! CRLs that webpki refuses, and how to create one that it accepts.

use x509_parser::prelude::CertificateRevocationList;

use super::distribution_point::issuing_point;

/// Returns the problem of a CRL that webpki would only report as malformed, and the remedy.
pub(crate) fn unsupported(crl: &CertificateRevocationList<'_>) -> Option<(&'static str, &'static str)> {
    let attributes = issuing_point(crl).is_some_and(|point| point.only_contains_attribute_certs);
    let mut entries = crl.iter_revoked_certificates().flat_map(|entry| entry.extensions());
    if entries.any(|extension| extension.critical && extension.oid.to_id_string() != CERTIFICATE_ISSUER) {
        return Some((
            "has an entry with a critical extension, such as a reason (CRLReason), which mongod refuses all certificates for",
            "make it anew with that extension not critical",
        ));
    }
    if crl.version().is_none() {
        Some(("has version 1: it was made without a crlnumber", NUMBER))
    } else if crl.extensions().is_empty() {
        Some(("has no extensions, not even a crlnumber", NUMBER))
    } else if crl.next_update().is_none() {
        Some((
            "has no end (nextUpdate)",
            "set default_crl_days in openssl.cnf, and make it anew with: openssl ca -gencrl",
        ))
    } else if attributes {
        Some(("is about attribute certificates only (onlyContainsAttributeCerts)", WITHOUT_POINT))
    } else {
        None
    }
}

/// Describes an error of webpki as a problem, with the remedy.
pub(crate) fn in_words(error: &webpki::Error) -> (&'static str, &'static str) {
    use webpki::Error as Crl;
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign list without an end")]
    match error {
        Crl::UnsupportedDeltaCrl => (
            "is a delta CRL: it has only what has changed since another list, and the whole list is expected",
            "put the complete CRL of that CA into the file in its place",
        ),
        Crl::UnsupportedIndirectCrl => (
            "is an indirect CRL, of certificates that other CAs have issued (indirectCRL); a list of the CA's own is expected",
            "put a CRL that each CA has made of its own certificates into the file",
        ),
        Crl::UnsupportedRevocationReasonsPartitioning => {
            ("is about some reasons of revocation only (onlySomeReasons); a list of all is expected", WITHOUT_POINT)
        }
        Crl::UnsupportedCrlIssuingDistributionPoint => (
            "has an issuingDistributionPoint without a fullname (such as onlyContainsUserCerts alone), which is not supported here",
            WITHOUT_POINT,
        ),
        Crl::UnsupportedCriticalExtension => {
            ("has a critical extension that is not supported here", "make it anew without that extension")
        }
        Crl::InvalidCrlNumber => (
            "has a crlnumber of more than 20 bytes, or a negative one",
            "write a shorter one into the file that crlnumber in openssl.cnf names, and make it anew with: openssl ca -gencrl",
        ),
        Crl::UnsupportedCrlVersion => ("has another version than 2", NUMBER),
        _ => ("is damaged, or not as RFC 5280 has it", CRL_REMEDY),
    }
}

const CERTIFICATE_ISSUER: &str = "2.5.29.29";

const NUMBER: &str =
    "set crlnumber in the CA's section of openssl.cnf (crlnumber = FILE), and make it anew with: openssl ca -gencrl";
const WITHOUT_POINT: &str = "take issuingDistributionPoint out of the CRL's extensions in openssl.cnf, and make it anew with: openssl ca -gencrl";

pub(crate) const CRL_REMEDY: &str = "make one with: openssl ca -gencrl -out crl.pem";
