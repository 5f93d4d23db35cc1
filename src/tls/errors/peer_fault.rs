//! The faults of peers for which tlsramp tells its operator a remedy.

#![expect(clippy::wildcard_enum_match_arm, reason = "the lists of rustls are not exhaustive")]

use rustls::{AlertDescription, CertificateError, Error};

use super::diagnosis::DNS;

/// A fault of a peer. All faults for which tlsramp has no particular remedy are [`PeerFault::Other`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PeerFault {
    /// The server's certificate verifies, but is issued for these DNS names only.
    WrongName(Vec<String>),
    /// The peer's certificate does not verify, for another reason than its names: the reason as OpenSSL names it in
    /// X509_verify_cert_error_string(3).
    Untrusted(&'static str),
    /// The peer sent a TLS alert, so it speaks TLS.
    Alert,
    /// The peer has TLS disabled: it sent the alert that tlsramp sends in mode `disabled`.
    TlsDisabled,
    /// The peer accepts only TLS and received plaintext.
    WantsTls,
    /// Anything else.
    #[default]
    Other,
}

impl PeerFault {
    pub(crate) fn of(error: &Error) -> PeerFault {
        match error {
            Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => {
                let dns = presented.iter().filter_map(|name| name.strip_prefix(DNS));
                PeerFault::WrongName(dns.map(str::to_owned).collect())
            }
            Error::InvalidCertificate(reason) => PeerFault::Untrusted(openssl_name(reason)),
            Error::AlertReceived(AlertDescription::AccessDenied) => PeerFault::TlsDisabled,
            Error::AlertReceived(_) => PeerFault::Alert,
            _ => PeerFault::Other,
        }
    }
}

/// The name of a reason in OpenSSL, by which mongod's log and search engines know it.
fn openssl_name(reason: &CertificateError) -> &'static str {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "certificate is not yet valid",
        CertificateError::Revoked => "certificate revoked",
        CertificateError::UnknownIssuer => "unable to get local issuer certificate",
        CertificateError::UnknownRevocationStatus => "unable to get certificate CRL",
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "CRL has expired"
        }
        CertificateError::InvalidPurpose => "unsuitable certificate purpose",
        CertificateError::BadSignature => "certificate signature failure",
        _ => "certificate rejected",
    }
}
