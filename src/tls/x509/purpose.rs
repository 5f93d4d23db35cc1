//! Whether a client or a server may use a certificate, by OpenSSL's rules.

use x509_parser::prelude::{ParsedExtension, X509Certificate};

/// The side of a handshake that a certificate is verified for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerRole {
    Client,
    Server,
}

/// Whether the certificate's usages allow this role, by OpenSSL's rules for `sslclient` and `sslserver`.
pub(crate) fn is_meant_for(certificate: &X509Certificate<'_>, peer: PeerRole) -> bool {
    is_of_type(certificate, peer)
        && certificate.key_usage().is_ok_and(|usage| {
            usage.is_none_or(|usage| {
                let usage = usage.value;
                let signs = usage.digital_signature() || usage.key_agreement();
                signs || (peer == PeerRole::Server && usage.key_encipherment())
            })
        })
}

/// Whether the Netscape certificate type, if present, allows this role.
fn is_of_type(certificate: &X509Certificate<'_>, peer: PeerRole) -> bool {
    certificate.extensions().iter().all(|extension| match (extension.parsed_extension(), peer) {
        (ParsedExtension::NSCertType(kind), PeerRole::Client) => kind.ssl_client(),
        (ParsedExtension::NSCertType(kind), PeerRole::Server) => kind.ssl_server(),
        _ => true,
    })
}

/// Whether a CRL for this certificate covers all revocation reasons. As in OpenSSL, only the first of the certificate's
/// CRL distribution points without a CRL issuer is considered.
pub(crate) fn covers_all_reasons(certificate: &X509Certificate<'_>) -> bool {
    certificate.extensions().iter().all(|extension| {
        let ParsedExtension::CRLDistributionPoints(points) = extension.parsed_extension() else { return true };
        points.iter().find(|point| point.crl_issuer.is_none()).is_none_or(|point| point.reasons.is_none())
    })
}
