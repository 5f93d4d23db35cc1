//! Faults of a peer that an operator of this side can act on.

use rustls::{AlertDescription, CertificateError, Error};

use super::diagnosis::DNS;

/// A fault of a peer that an operator of this side can act on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PeerFault {
    /// Its certificate verifies, but is for these other DNS names.
    WrongName(Vec<String>),
    /// It has TLS disabled: it sent the alert that tlsramp sends in mode `disabled`.
    TlsDisabled,
    /// It accepts TLS only, and was sent plaintext.
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
