//! Reasons for refusing a certificate that rustls has no error for.

#![expect(clippy::wildcard_enum_match_arm, reason = "webpki's list of errors is not exhaustive")]

use std::fmt;
use std::sync::Arc;

use rustls::{CertificateError, Error, OtherError};

/// The reason, as logs and replies show it.
#[derive(Debug)]
pub(crate) struct Diagnosis(pub(crate) &'static str);

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Diagnosis {}

/// Translates an error of webpki's path building to an error of rustls or to a [`Diagnosis`]. The translation in rustls
/// is private.
pub(crate) fn refusal(error: webpki::Error) -> Error {
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

pub(crate) fn diagnosis(text: &'static str) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Diagnosis(text)))))
}

pub(crate) const SERVER_NAME: &str = "the server name (SNI) in the hello is no DNS name: a label is empty, longer than 63 characters, \
     begins or ends with '-', or has other characters than ASCII letters, digits, '-' and '_', or the last label is a \
     number; connect by another name of this host";
pub(crate) const V1: &str = "it is X.509 v1; issue it anew as v3";
pub(crate) const SHA1: &str = "it is signed with SHA-1; issue it anew with SHA-256";
pub(crate) const NO_SAN: &str =
    "it has a CN and no subject alternative name; issue it anew with the name as subjectAltName";
pub(crate) const SHORT_RSA: &str = "its RSA key is shorter than 2048 bits; issue it anew with 2048 or more, or ECDSA";
/// Prefix of DNS names in the result of [`subject_alt_names`](crate::tls::subject_alt_names).
pub(crate) const DNS: &str = "DNS:";
pub(crate) const SHORTEST_RSA_BITS: usize = 2048;
pub(crate) const PSS_KEY: &str =
    "its key is of the kind RSA-PSS; issue it anew with a key of the kind RSA (rsaEncryption) or ECDSA";
pub(crate) const CA: &str = "it is a CA's (basicConstraints CA:TRUE), issued by another; issue it anew with CA:FALSE (only a self-signed \
                  one that is itself in the CA file is taken)";
pub(crate) const ALGORITHM: &str = "it, or a CA above it, is signed by an algorithm or a key that is not supported here (supported: RSA of 2048 \
     bits or more and ECDSA on P-256, P-384 or P-521 with SHA-256, SHA-384 or SHA-512, and Ed25519); issue it anew";
pub(crate) const CRL_ALGORITHM: &str = "the CRL of its issuer is signed by an algorithm or a key that is not supported here (supported: RSA of \
     2048 bits or more and ECDSA on P-256, P-384 or P-521 with SHA-256, SHA-384 or SHA-512, and Ed25519); make it anew";
pub(crate) const NO_CA: &str = "a certificate above it is no CA's (basicConstraints CA:TRUE is missing)";
pub(crate) const POLICIES: &str =
    "its certificate policies are critical, which is not supported here; issue it anew with them not critical";
pub(crate) const CRITICAL: &str = "it, or a CA above it, has a critical extension that is not supported here";
pub(crate) const NAME_CONSTRAINTS: &str = "its names are outside of the name constraints of a CA above it, or these constraints are of a kind \
     that is not supported here (directoryName, email)";
pub(crate) const PATH_LENGTH: &str = "the path length that a CA above it allows is exceeded";
pub(crate) const CRL_OF_OTHER_KEY: &str = "the CRL of its issuer's name is signed by another key than its issuer's";
pub(crate) const NO_CRL_SIGN: &str = "the key usage of its issuer does not allow the signing of CRLs (cRLSign)";
pub(crate) const CRL_NOT_BEGUN: &str = "the CRL of its issuer is not yet valid (thisUpdate is in the future)";
pub(crate) const CA_ENDED: &str = "the CA that has signed it has expired";
pub(crate) const CA_NOT_BEGUN: &str = "the CA that has signed it is not yet valid";
pub(crate) const NOT_ISSUING: &str = "the certificate of the CA file that has signed it may not issue it (basicConstraints CA:TRUE, \
     keyCertSign or the extended key usage is missing)";
pub(crate) const NO_ROOT: &str = "the CA of the CA file that has signed it is an intermediate, and the root above that is not in \
     the file (mongod: unable to get issuer certificate)";
pub(crate) const WRITTEN: &str = "its issuer is a CA of the CA file whose own certificate has that name with other string types, case or \
     spaces, and such names are not one here; issue it anew with the certificate that is in the CA file";
pub(crate) const SELF_ISSUED: &str = "its subject is that of its issuer, and it is not itself in the CA file (mongod: self-signed \
     certificate); issue it anew with another subject";
pub(crate) const LONG_CHAIN: &str = "it comes with more than 4 intermediate certificates";
pub(crate) const TOO_COSTLY: &str = "its chain takes too many signature checks";
