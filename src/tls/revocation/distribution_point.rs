//! The issuing distribution point of a CRL (RFC 5280, section 5.2.5).

use x509_parser::extensions::IssuingDistributionPoint;
use x509_parser::prelude::{CertificateRevocationList, ParsedExtension};

/// Whether a CRL names a distribution point. Such a CRL does not cover certificates that name none (RFC 5280, section
/// 6.3.3).
pub(crate) fn is_partial(crl: &CertificateRevocationList<'_>) -> bool {
    issuing_point(crl).is_some_and(|point| point.distribution_point.is_some())
}

pub(crate) fn issuing_point<'a>(crl: &'a CertificateRevocationList<'_>) -> Option<&'a IssuingDistributionPoint<'a>> {
    crl.extensions().iter().find_map(|extension| {
        let ParsedExtension::IssuingDistributionPoint(point) = extension.parsed_extension() else { return None };
        Some(point)
    })
}
