//! Finds the reason why a certificate is refused, where rustls only reports a bad certificate.
//!
//! Fleets that OpenSSL 1.0 served for years have certificates that rustls refuses without giving a reason: X.509 v1, a
//! CN without SAN, SHA-1, short RSA keys. This module parses such a certificate again to find the reason.

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, OtherError};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;

use super::diagnosis::{
    CRITICAL, Diagnosis, NO_SAN, POLICIES, PSS_KEY, SHA1, SHORT_RSA, SHORTEST_RSA_BITS, V1, diagnosis,
};
use crate::limits::CERTIFICATE_NAMES_SHOWN;
use crate::text::printable;
use crate::tls::x509::subject::subject_alt_names;

/// Replaces the error of a verifier with the reason for it, if the certificate has a fault that rustls does not report.
pub(crate) fn explain_certificate(error: Error, certificate: &[u8]) -> Error {
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
        let names = subject_alt_names(&CertificateDer::from(der));
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

/// As [`explain_certificate`], for a handshake signature that cannot be verified.
pub(crate) fn explain_signature(error: Error, certificate: &[u8]) -> Error {
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

/// Whether the signature of a certificate uses SHA-1, MD5 or a short RSA key. webpki accepts no such signature.
pub(crate) fn is_weakly_signed(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
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

/// The reason why the key of one of our certificates cannot be used, if it is known.
pub(crate) fn key_problem(certificate: &[u8]) -> Option<&'static str> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    if certificate.public_key().algorithm.algorithm.to_id_string() == RSA_PSS {
        return Some("its type is RSA-PSS");
    }
    is_short(&certificate).then_some("it is an RSA key shorter than 2048 bits")
}

const CERTIFICATE_POLICIES: &str = "2.5.29.32";
const SHA1_WITH_RSA: &str = "1.2.840.113549.1.1.5";
const MD5_WITH_RSA: &str = "1.2.840.113549.1.1.4";
const ECDSA_WITH_SHA1: &str = "1.2.840.10045.4.1";

const RSA_PSS: &str = "1.2.840.113549.1.1.10";
