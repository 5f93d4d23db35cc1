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
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible, PeerMisbehaved};
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
    } else if is_critical(kind) && has_critical_policies(&certificate) {
        diagnosis(POLICIES)
    } else if matches!(kind, CertificateError::BadSignature) && is_short(&certificate) {
        diagnosis(SHORT_RSA)
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
    if certificate.public_key().algorithm.algorithm.to_id_string() == RSA_PSS {
        return diagnosis(PSS_KEY);
    }
    if is_short(&certificate) { diagnosis(SHORT_RSA) } else { error }
}

fn is_short(certificate: &X509Certificate<'_>) -> bool {
    matches!(certificate.public_key().parsed(), Ok(PublicKey::RSA(key)) if key.key_size() < SHORTEST_RSA_BITS)
}

/// Whether a certificate is signed in a way that is not verified here: with SHA-1 or MD5, or by a short RSA key.
pub(super) fn is_weakly_signed(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    let algorithm = certificate.signature_algorithm.algorithm.to_id_string();
    [SHA1_WITH_RSA, ECDSA_WITH_SHA1, MD5_WITH_RSA].contains(&algorithm.as_str()) || is_short(issuer)
}

fn is_critical(kind: &CertificateError) -> bool {
    let CertificateError::Other(OtherError(error)) = kind else { return false };
    error.downcast_ref::<Diagnosis>().is_some_and(|diagnosis| diagnosis.0 == CRITICAL)
}

fn has_critical_policies(certificate: &X509Certificate<'_>) -> bool {
    let mut extensions = certificate.extensions().iter();
    extensions.any(|extension| extension.critical && extension.oid.to_id_string() == CERTIFICATE_POLICIES)
}

/// Why the key of a certificate of ours cannot be used, where there is a reason to be named.
pub(super) fn key_problem(certificate: &[u8]) -> Option<&'static str> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    if certificate.public_key().algorithm.algorithm.to_id_string() == RSA_PSS {
        return Some("it is of the kind RSA-PSS");
    }
    is_short(&certificate).then_some("it is RSA of less than 2048 bits")
}

/// A TLS error in words. Alerts that a peer sent are named as RFC 8446 does.
#[must_use]
pub(super) fn explain(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => "no certificate was shown, and a CA file makes one mandatory \
             (sslAllowConnectionsWithoutCertificates excuses its absence); a client whose key is of the kind RSA-PSS shows none, \
             for no scheme of such keys is taken here"
            .into(),
        Error::InvalidCertificate(kind) => format!("the peer's certificate is refused: {}", certificate(kind)),
        Error::PeerIncompatible(kind) => incompatible(kind),
        Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName) => SERVER_NAME.into(),
        Error::PeerMisbehaved(kind) => format!("the peer breaks the rules of TLS ({kind:?})"),
        Error::AlertReceived(alert) => format!("the peer sent the alert {}{}", alert_name(*alert), alert_hint(*alert)),
        Error::InvalidMessage(InvalidMessage::IllegalEmptyValue) => {
            "broken TLS: a value is empty that must not be, such as an empty server name (SNI) in the hello".into()
        }
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
        CertificateError::InvalidPurpose => {
            "its key usage does not allow it (a client needs clientAuth, a server serverAuth)".into()
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
        PeerIncompatible::NoSignatureSchemesInCommon => {
            "no signature scheme in common: the client takes none that the key of our certificate can make (RSA: SHA-256 and \
             up, by PSS alone in TLS 1.3; ECDSA: P-256 with SHA-256, P-384 with SHA-384, P-521 with SHA-512; Ed25519)"
                .into()
        }
        PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "no signature scheme in common: the server takes none that the key of our certificate can make".into()
        }
        PeerIncompatible::SignatureAlgorithmsExtensionRequired
        | PeerIncompatible::NamedGroupsExtensionRequired
        | PeerIncompatible::KeyShareExtensionRequired
        | PeerIncompatible::EcPointsExtensionRequired
        | PeerIncompatible::UncompressedEcPointsRequired
        | PeerIncompatible::NoEcPointFormatsInCommon
        | PeerIncompatible::NullCompressionRequired => {
            format!("the hello lacks what TLS by ECDHE needs ({kind:?}): its library is too old, or is no TLS library")
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

/// What path building found, as rustls names it (its own translation is private), or in words where it has no name.
pub(super) fn refusal(error: webpki::Error) -> Error {
    use webpki::Error as Path;
    let kind = match error {
        Path::BadDer | Path::BadDerTime | Path::TrailingData(_) => CertificateError::BadEncoding,
        Path::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        Path::InvalidCertValidity => CertificateError::Expired,
        Path::CertNotValidYet { time, not_before } => CertificateError::NotValidYetContext { time, not_before },
        Path::UnknownIssuer => CertificateError::UnknownIssuer,
        Path::CertNotValidForName(context) => {
            CertificateError::NotValidForNameContext { expected: context.expected, presented: context.presented }
        }
        Path::CertRevoked => CertificateError::Revoked,
        Path::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        Path::CrlExpired { time, next_update } => CertificateError::ExpiredRevocationListContext { time, next_update },
        Path::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        Path::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        Path::InvalidCrlSignatureForPublicKey => return diagnosis(CRL_OF_OTHER_KEY),
        Path::IssuerNotCrlSigner => return diagnosis(NO_CRL_SIGN),
        Path::NameConstraintViolation => return diagnosis(NAME_CONSTRAINTS),
        Path::UnsupportedCriticalExtension => return diagnosis(CRITICAL),
        Path::UnsupportedCertVersion => return diagnosis(V1),
        Path::CaUsedAsEndEntity => return diagnosis(CA),
        Path::EndEntityUsedAsCa => return diagnosis(NO_CA),
        Path::PathLenConstraintViolated => return diagnosis(PATH_LENGTH),
        Path::MaximumSignatureChecksExceeded
        | Path::MaximumPathBuildCallsExceeded
        | Path::MaximumPathDepthExceeded
        | Path::MaximumNameConstraintComparisonsExceeded => return diagnosis(TOO_COSTLY),
        Path::UnsupportedSignatureAlgorithmContext(_) | Path::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            return diagnosis(ALGORITHM);
        }
        Path::UnsupportedCrlSignatureAlgorithmContext(_)
        | Path::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => {
            return diagnosis(CRL_ALGORITHM);
        }
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    Error::InvalidCertificate(kind)
}

pub(super) fn diagnosis(text: &'static str) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Diagnosis(text)))))
}

const SERVER_NAME: &str = "the server name (SNI) in the hello is no DNS name: a label is empty, longer than 63 characters, \
     begins or ends with '-', or has other characters than ASCII letters, digits, '-' and '_', or the last label is a \
     number; connect by another name of this host";
const V1: &str = "it is X.509 v1; issue it anew as v3";
const SHA1: &str = "it is signed with SHA-1; issue it anew with SHA-256";
const NO_SAN: &str = "it has a CN and no subject alternative name; issue it anew with the name as subjectAltName";
const SHORT_RSA: &str = "its RSA key is shorter than 2048 bits; issue it anew with 2048 or more, or ECDSA";
/// How [`names`] marks a DNS name.
const DNS: &str = "DNS:";
const SHORTEST_RSA_BITS: usize = 2048;
const RSA_PSS: &str = "1.2.840.113549.1.1.10";
const PSS_KEY: &str =
    "its key is of the kind RSA-PSS; issue it anew with a key of the kind RSA (rsaEncryption) or ECDSA";
const CA: &str = "it is a CA's (basicConstraints CA:TRUE), issued by another; issue it anew with CA:FALSE (only a self-signed \
                  one that is itself in the CA file is taken)";
const ALGORITHM: &str = "it, or a CA above it, is signed by an algorithm or a key that is not supported here (supported: RSA of 2048 \
     bits or more and ECDSA on P-256, P-384 or P-521 with SHA-256, SHA-384 or SHA-512, and Ed25519); issue it anew";
const CRL_ALGORITHM: &str = "the CRL of its issuer is signed by an algorithm or a key that is not supported here (supported: RSA of \
     2048 bits or more and ECDSA on P-256, P-384 or P-521 with SHA-256, SHA-384 or SHA-512, and Ed25519); make it anew";
const NO_CA: &str = "a certificate above it is no CA's (basicConstraints CA:TRUE is missing)";
const POLICIES: &str =
    "its certificate policies are critical, which is not supported here; issue it anew with them not critical";
pub(super) const CRITICAL: &str = "it, or a CA above it, has a critical extension that is not supported here";
const NAME_CONSTRAINTS: &str = "its names are outside of the name constraints of a CA above it, or these constraints are of a kind \
     that is not supported here (directoryName, email)";
const PATH_LENGTH: &str = "the path length that a CA above it allows is exceeded";
const CRL_OF_OTHER_KEY: &str = "the CRL of its issuer's name is signed by another key than its issuer's";
pub(super) const NO_CRL_SIGN: &str = "the key usage of its issuer does not allow the signing of CRLs (cRLSign)";
pub(super) const CRL_NOT_BEGUN: &str = "the CRL of its issuer is not yet valid (thisUpdate is in the future)";
pub(super) const CA_ENDED: &str = "the CA that has signed it has expired";
pub(super) const CA_NOT_BEGUN: &str = "the CA that has signed it is not yet valid";
pub(super) const NOT_ISSUING: &str = "the certificate of the CA file that has signed it may not issue it (basicConstraints CA:TRUE, \
     keyCertSign or the extended key usage is missing)";
pub(super) const NO_ROOT: &str = "the CA of the CA file that has signed it is an intermediate, and the root above that is not in \
     the file (mongod: unable to get issuer certificate)";
pub(super) const WRITTEN: &str = "its issuer is a CA of the CA file whose own certificate has that name with other string types, case or \
     spaces, and such names are not one here; issue it anew with the certificate that is in the CA file";
pub(super) const SELF_ISSUED: &str = "its subject is that of its issuer, and it is not itself in the CA file (mongod: self-signed \
     certificate); issue it anew with another subject";
pub(super) const LONG_CHAIN: &str = "it comes with more than 4 intermediate certificates";
pub(super) const TOO_COSTLY: &str = "its chain takes too many signature checks";
const CERTIFICATE_POLICIES: &str = "2.5.29.32";
const SHA1_WITH_RSA: &str = "1.2.840.113549.1.1.5";
const MD5_WITH_RSA: &str = "1.2.840.113549.1.1.4";
const ECDSA_WITH_SHA1: &str = "1.2.840.10045.4.1";
