//! TLS errors as sentences for logs and replies.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the lists of rustls are not exhaustive; the other errors have texts of their own"
)]

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible, PeerMisbehaved};

use super::diagnosis::{DNS, SERVER_NAME};

/// Describes a TLS error in a sentence. Alerts have their names from RFC 8446.
pub(crate) fn explain(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => "the client presented no certificate, but a CA file makes one mandatory \
            (sslAllowConnectionsWithoutCertificates allows clients to present none); a client with an RSA-PSS key \
            presents none, because its signature schemes are not accepted"
            .into(),
        Error::InvalidCertificate(kind) => format!("the peer's certificate is refused: {}", certificate(kind)),
        Error::PeerIncompatible(kind) => incompatible(kind),
        Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName) => SERVER_NAME.into(),
        Error::PeerMisbehaved(kind) => format!("the peer violates the TLS protocol ({kind:?})"),
        Error::AlertReceived(alert) => format!("the peer sent the alert {}{}", alert_name(*alert), alert_hint(*alert)),
        Error::InvalidMessage(InvalidMessage::IllegalEmptyValue) => {
            "invalid TLS: a value that must not be empty is empty, such as the server name (SNI) in the ClientHello"
                .into()
        }
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            format!("not TLS, or invalid TLS ({error})")
        }
        other => other.to_string(),
    }
}

fn certificate(kind: &CertificateError) -> String {
    match kind {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not yet valid".into(),
        CertificateError::Revoked => "it is revoked".into(),
        CertificateError::UnknownIssuer => "it is not signed by a CA in the CA file".into(),
        CertificateError::UnknownRevocationStatus => {
            "the CRL file has no CRL of its issuer; add the CRL of that CA".into()
        }
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the CRL of its issuer has expired; put a newer one into the CRL file".into()
        }
        CertificateError::InvalidPurpose => {
            "its key usage or extended key usage does not allow this use (a client needs clientAuth, a server \
             serverAuth)"
                .into()
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
            "no cipher suite or key exchange group in common: static RSA and DHE suites are not supported, only ECDHE \
             with AES-GCM or ChaCha20-Poly1305"
                .into()
        }
        PeerIncompatible::NoSignatureSchemesInCommon => {
            "no signature scheme in common: the client accepts none that the key of our certificate supports (RSA: \
             SHA-256 and up, only PSS in TLS 1.3; ECDSA: P-256 with SHA-256, P-384 with SHA-384, P-521 with SHA-512; \
             Ed25519); use a certificate with another type of key"
                .into()
        }
        PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "no signature scheme in common: the server accepts none that the key of our certificate supports; use a \
             certificate with another type of key"
                .into()
        }
        PeerIncompatible::SignatureAlgorithmsExtensionRequired
        | PeerIncompatible::NamedGroupsExtensionRequired
        | PeerIncompatible::KeyShareExtensionRequired
        | PeerIncompatible::EcPointsExtensionRequired
        | PeerIncompatible::UncompressedEcPointsRequired
        | PeerIncompatible::NoEcPointFormatsInCommon
        | PeerIncompatible::NullCompressionRequired => {
            format!(
                "the ClientHello lacks an extension that ECDHE requires ({kind:?}): the client's TLS library is too \
                 old, or it is not a TLS client"
            )
        }
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired => "no protocol version in common".into(),
        PeerIncompatible::ServerDoesNotSupportTls12Or13 => "the server speaks neither TLS 1.2 nor 1.3".into(),
        PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => "the server chose a disabled version".into(),
        other => format!("incompatible peer: {other:?}"),
    }
}

/// The alert's name from RFC 8446, followed by its number.
fn alert_name(alert: AlertDescription) -> String {
    let written: Vec<char> = format!("{alert:?}").chars().collect();
    let mut name = String::new();
    for (at, letter) in written.iter().enumerate() {
        // `UnknownCA` becomes `unknown_ca`, `UnknownPSKIdentity` becomes `unknown_psk_identity`.
        let after_lower = at > 0 && written[at - 1].is_ascii_lowercase();
        let before_lower = at > 0 && written.get(at + 1).is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && (after_lower || before_lower) {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    format!("{name} ({})", u8::from(alert))
}

/// The most common cause of an alert whose name does not say it.
fn alert_hint(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::HandshakeFailure => {
            ": nothing in common (offered: TLS 1.2 and 1.3, ECDHE with AES-GCM or ChaCha20-Poly1305), or the peer \
             requires a certificate"
        }
        AlertDescription::ProtocolVersion => ": the peer supports neither TLS 1.2 nor 1.3, or has them disabled",
        AlertDescription::AccessDenied => ": the peer has TLS disabled, like a tlsramp in mode disabled",
        AlertDescription::UnknownCA => ": the peer does not trust the CA that signed our certificate",
        AlertDescription::CertificateRequired => {
            ": the peer requires a certificate from us: set sslClusterFile or sslPEMKeyFile"
        }
        _ => "",
    }
}
