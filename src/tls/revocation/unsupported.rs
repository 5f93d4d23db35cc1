//! CRLs that webpki refuses, and how to create one that it accepts.

use x509_parser::prelude::CertificateRevocationList;

use super::distribution_point::issuing_point;

/// Returns the problem of a CRL that webpki would only report as malformed, and the remedy.
pub(crate) fn unsupported(crl: &CertificateRevocationList<'_>) -> Option<(&'static str, &'static str)> {
    let attributes = issuing_point(crl).is_some_and(|point| point.only_contains_attribute_certs);
    let mut entries = crl.iter_revoked_certificates().flat_map(|entry| entry.extensions());
    if entries.any(|extension| extension.critical && extension.oid.to_id_string() != CERTIFICATE_ISSUER) {
        return Some((
            "has an entry with a critical extension, such as a reason (CRLReason); with such a list, mongod refuses \
             all certificates",
            "generate it again with that extension not critical",
        ));
    }
    if crl.version().is_none() {
        Some(("has version 1: it was generated without a crlnumber", NUMBER))
    } else if crl.extensions().is_empty() {
        Some(("has no extensions, not even a crlnumber", NUMBER))
    } else if crl.next_update().is_none() {
        Some((
            "has no expiry time (nextUpdate)",
            "set default_crl_days in openssl.cnf, and generate it again with: openssl ca -gencrl",
        ))
    } else if attributes {
        Some(("covers attribute certificates only (onlyContainsAttributeCerts)", WITHOUT_POINT))
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
            "is a delta CRL, which contains only changes since another CRL; a complete CRL is required",
            "put the complete CRL of that CA into the file in its place",
        ),
        Crl::UnsupportedIndirectCrl => (
            "is an indirect CRL, with certificates of other CAs (indirectCRL); a CRL of the CA's own certificates is \
             required",
            "put a CRL of each CA, with its own certificates only, into the file",
        ),
        Crl::UnsupportedRevocationReasonsPartitioning => {
            ("covers some revocation reasons only (onlySomeReasons); a CRL of all reasons is required", WITHOUT_POINT)
        }
        Crl::UnsupportedCrlIssuingDistributionPoint => (
            "has an issuingDistributionPoint without a fullname (for example, with onlyContainsUserCerts alone), which \
             is not supported",
            WITHOUT_POINT,
        ),
        Crl::UnsupportedCriticalExtension => {
            ("has a critical extension that is not supported", "generate it again without that extension")
        }
        Crl::InvalidCrlNumber => (
            "has a crlnumber that is negative or longer than 20 bytes",
            "write a smaller number into the file that crlnumber in openssl.cnf names, and generate it again with: \
             openssl ca -gencrl",
        ),
        Crl::UnsupportedCrlVersion => ("has a version other than 2", NUMBER),
        _ => ("is damaged, or does not conform to RFC 5280", CRL_REMEDY),
    }
}

const CERTIFICATE_ISSUER: &str = "2.5.29.29";

const NUMBER: &str = "set crlnumber in the CA's section of openssl.cnf (crlnumber = FILE), and generate it again with: openssl ca -gencrl";
const WITHOUT_POINT: &str = "remove issuingDistributionPoint from the CRL extensions in openssl.cnf, and generate it \
    again with: openssl ca -gencrl";

pub(crate) const CRL_REMEDY: &str = "make one with: openssl ca -gencrl -out crl.pem";
