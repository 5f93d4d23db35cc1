//! Why a handshake failed, in words an operator can act on.
//!
//! A fleet that OpenSSL 1.0 served for years has certificates that rustls refuses, each with an error that does
//! not say why. What the stack only calls bad is looked at again here: X.509 v1, a CN without SAN, SHA-1, a
//! short RSA key, suites without forward secrecy.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the stack's lists of errors have no end; what is not named here speaks for itself"
)]

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertificateError, Error, OtherError, PeerIncompatible};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;

use super::subject::names;
use crate::limits::{CERTIFICATE_NAMES_SHOWN, SHOWN_CHARS};

/// What is wrong with a peer, as far as something can be done about it on this side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PeerFault {
    /// Its certificate is right in all but the name: it is for these DNS names.
    WrongName(Vec<String>),
    /// It has TLS disabled: the alert that tlsramp sends in `disabled`.
    TlsDisabled,
    /// It takes TLS only, and was spoken to in plaintext.
    WantsTls,
    /// Anything else.
    #[default]
    Other,
}

impl PeerFault {
    /// The fault that a TLS error tells of.
    pub(super) fn of(error: &Error) -> PeerFault {
        match error {
            Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => {
                let dns = presented.iter().filter_map(|name| name.strip_prefix(DNS));
                PeerFault::WrongName(dns.map(str::to_owned).collect())
            }
            Error::AlertReceived(AlertDescription::AccessDenied) => PeerFault::TlsDisabled,
            _ => PeerFault::Other,
        }
    }
}

/// A certificate's fault that rustls has no name for.
#[derive(Debug)]
struct Diagnosis(&'static str);

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Diagnosis {}

/// Puts the real fault into a verifier's error, where the certificate has one that rustls does not name.
pub(super) fn explain_certificate(error: Error, certificate: &[u8]) -> Error {
    let Error::InvalidCertificate(kind) = &error else { return error };
    let der = certificate;
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return error };
    let nameless = matches!(certificate.subject_alternative_name(), Ok(None));
    let wrong_name =
        matches!(kind, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. });
    if certificate.version() != X509Version::V3 {
        diagnosis(V1)
    } else if certificate.signature_algorithm.algorithm.to_id_string() == SHA1_WITH_RSA
        || certificate.signature_algorithm.algorithm.to_id_string() == ECDSA_WITH_SHA1
    {
        diagnosis(SHA1)
    } else if wrong_name && nameless {
        diagnosis(NO_SAN)
    } else if let CertificateError::NotValidForNameContext { expected, .. } = kind {
        let names = names(&CertificateDer::from(der));
        let presented = names.iter().take(CERTIFICATE_NAMES_SHOWN).map(|name| printable(name)).collect();
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { expected: expected.clone(), presented })
    } else {
        error
    }
}

/// A name of a certificate as a line may have it: a peer has chosen it.
fn printable(name: &str) -> String {
    name.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect()
}

/// The same for a signature that does not verify: a short RSA key is refused there.
pub(super) fn explain_signature(error: Error, certificate: &[u8]) -> Error {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return error };
    if certificate.version() != X509Version::V3 {
        return diagnosis(V1);
    }
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < SHORTEST_RSA_BITS => diagnosis(SHORT_RSA),
        _ => error,
    }
}

/// A TLS error in words. Alerts that a peer sent are named as RFC 8446 does.
#[must_use]
pub(super) fn explain(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => "no certificate was shown, and a CA file makes one mandatory \
             (sslAllowConnectionsWithoutCertificates excuses its absence)"
            .into(),
        Error::InvalidCertificate(kind) => format!("the peer's certificate is refused: {}", certificate(kind)),
        Error::PeerIncompatible(kind) => incompatible(kind),
        Error::AlertReceived(alert) => format!("the peer sent the alert {}{}", alert_name(*alert), alert_hint(*alert)),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            format!("not TLS, or broken TLS ({error})")
        }
        other => other.to_string(),
    }
}

fn certificate(kind: &CertificateError) -> String {
    match kind {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not yet valid".into(),
        CertificateError::Revoked => "it is revoked".into(),
        CertificateError::UnknownIssuer => "it is not signed by a CA of the CA file".into(),
        CertificateError::UnknownRevocationStatus => "the CRL file has no CRL of its issuer".into(),
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the CRL has expired".into()
        }
        CertificateError::BadSignature => "its signature does not verify".into(),
        CertificateError::Other(OtherError(diagnosis)) => diagnosis.to_string(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().map(|name| name.strip_prefix(DNS).unwrap_or(name)).collect();
            format!("it is not valid for name {:?}; it is for {}", expected.to_str(), names.join(", "))
        }
        other => other.to_string(),
    }
}

fn incompatible(kind: &PeerIncompatible) -> String {
    match kind {
        PeerIncompatible::NoCipherSuitesInCommon | PeerIncompatible::NoKxGroupsInCommon => {
            "no cipher suite or group in common: static RSA and DHE suites are not spoken here, ECDHE with AES-GCM or \
             ChaCha20-Poly1305 is"
                .into()
        }
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired => "no protocol version in common".into(),
        PeerIncompatible::ServerDoesNotSupportTls12Or13 => "the server speaks neither TLS 1.2 nor 1.3".into(),
        PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => "the server chose a disabled version".into(),
        other => format!("incompatible peer: {other:?}"),
    }
}

/// As RFC 8446 writes it, with its number.
fn alert_name(alert: AlertDescription) -> String {
    let written: Vec<char> = format!("{alert:?}").chars().collect();
    let mut name = String::new();
    for (at, letter) in written.iter().enumerate() {
        // UnknownCA is unknown_ca, UnknownPSKIdentity is unknown_psk_identity.
        let after_lower = at > 0 && written[at - 1].is_ascii_lowercase();
        let before_lower = at > 0 && written.get(at + 1).is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && (after_lower || before_lower) {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    format!("{name} ({})", u8::from(alert))
}

/// What is behind the alerts that say least.
fn alert_hint(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::HandshakeFailure => {
            ": nothing in common (offered: TLS 1.2 and 1.3, ECDHE with AES-GCM or ChaCha20-Poly1305), or it wants a \
             certificate"
        }
        AlertDescription::ProtocolVersion => ": it speaks neither TLS 1.2 nor 1.3, or has them disabled",
        AlertDescription::AccessDenied => ": TLS is disabled there, as by a tlsramp in mode disabled",
        AlertDescription::UnknownCA => ": our certificate is not signed by a CA it knows",
        AlertDescription::CertificateRequired => ": it wants a certificate of us (sslClusterFile or sslPEMKeyFile)",
        _ => "",
    }
}

fn diagnosis(text: &'static str) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Diagnosis(text)))))
}

const V1: &str = "it is X.509 v1; issue it anew as v3";
const SHA1: &str = "it is signed with SHA-1; issue it anew with SHA-256";
const NO_SAN: &str = "it has a CN and no subject alternative name; issue it anew with the name as subjectAltName";
const SHORT_RSA: &str = "its RSA key is shorter than 2048 bits; issue it anew with 2048 or more, or ECDSA";
/// How [`names`] marks a DNS name.
const DNS: &str = "DNS:";
const SHORTEST_RSA_BITS: usize = 2048;
const SHA1_WITH_RSA: &str = "1.2.840.113549.1.1.5";
const ECDSA_WITH_SHA1: &str = "1.2.840.10045.4.1";
