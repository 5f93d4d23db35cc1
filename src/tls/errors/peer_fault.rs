//! Faults of a peer that an operator of this side can act on.

use rustls::{AlertDescription, CertificateError, Error};

use super::diagnosis::DNS;

/// A fault of a peer that an operator of this side can act on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PeerFault {
    /// The server's certificate verifies, but is issued for these DNS names only.
    WrongName(Vec<String>),
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
        if let Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) = error {
            let dns = presented.iter().filter_map(|name| name.strip_prefix(DNS));
            PeerFault::WrongName(dns.map(str::to_owned).collect())
        } else if matches!(error, Error::AlertReceived(AlertDescription::AccessDenied)) {
            PeerFault::TlsDisabled
        } else {
            PeerFault::Other
        }
    }
}
