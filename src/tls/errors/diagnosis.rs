//! Reasons for refusing a certificate, where rustls has no error for the reason.

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

pub(crate) const SERVER_NAME: &str = "the server name (SNI) in the ClientHello is not a DNS name (labels of 1 to 63 \
    ASCII letters, digits, '-' and '_', not starting or ending with '-', and the last one not a number); connect by \
    another name of this host";
pub(crate) const V1: &str = "it is X.509 v1 or v2; reissue it as v3";
pub(crate) const SHA1: &str = "it is signed with SHA-1; reissue it with SHA-256";
pub(crate) const NO_SAN: &str =
    "it has no subject alternative name (a CN does not count as one); reissue it with the name as subjectAltName";
pub(crate) const SHORT_RSA: &str = "its RSA key is shorter than 2048 bits; reissue it with 2048 bits or more, or with \
    ECDSA";
/// Prefix of DNS names in the result of [`subject_alt_names`](crate::tls::subject_alt_names).
pub(crate) const DNS: &str = "DNS:";
pub(crate) const SHORTEST_RSA_BITS: usize = 2048;
pub(crate) const PSS_KEY: &str =
    "its key type is RSA-PSS, which is not supported; reissue it with an RSA (rsaEncryption) or ECDSA key";
pub(crate) const CA: &str = "it is a CA certificate (basicConstraints CA:TRUE); reissue it with CA:FALSE (a CA \
    certificate is accepted only if it is self-signed and in the CA file itself)";
pub(crate) const ALGORITHM: &str = "it, or a CA above it, has a signature algorithm or key that is not supported \
    (supported: RSA of 2048 bits or more, or ECDSA on P-256, P-384 or P-521, each with SHA-256, SHA-384 or SHA-512; \
    Ed25519); reissue it";
pub(crate) const CRL_ALGORITHM: &str = "the CRL of its issuer has a signature algorithm or key that is not supported \
    (supported: RSA of 2048 bits or more, or ECDSA on P-256, P-384 or P-521, each with SHA-256, SHA-384 or SHA-512; \
    Ed25519); generate the CRL again with a supported one";
pub(crate) const NO_CA: &str = "a certificate above it is not a CA certificate (basicConstraints CA:TRUE is missing); \
    reissue that certificate";
pub(crate) const POLICIES: &str =
    "its certificate policies are critical, which is not supported; reissue it with the extension not critical";
pub(crate) const CRITICAL: &str = "it, or a CA above it, has a critical extension that is not supported; reissue it \
    without that extension";
pub(crate) const NAME_CONSTRAINTS: &str = "its names violate the name constraints of a CA above it, or these \
    constraints have a type that is not supported (directoryName, email); reissue it with permitted names";
pub(crate) const PATH_LENGTH: &str = "its chain is longer than the path length constraint of a CA above it allows; \
    issue it from a CA closer to the root";
pub(crate) const CRL_OF_OTHER_KEY: &str = "the CRL with the name of its issuer is signed with a key other than the \
    issuer's; put the CRL of that CA into the CRL file";
pub(crate) const NO_CRL_SIGN: &str = "the key usage of its issuer does not allow signing CRLs (cRLSign); reissue the \
    CA certificate with cRLSign";
pub(crate) const CRL_NOT_BEGUN: &str = "the CRL of its issuer is not yet valid (thisUpdate is in the future); check \
    this host's clock";
pub(crate) const CA_ENDED: &str = "the CA that signed it has expired; put the renewed CA into the CA file";
pub(crate) const CA_NOT_BEGUN: &str = "the CA that signed it is not yet valid; check this host's clock";
pub(crate) const NOT_ISSUING: &str = "the CA certificate that signed it is in the CA file but is not allowed to issue \
    certificates (basicConstraints CA:TRUE, keyCertSign or the extended key usage is missing); reissue that CA \
    certificate";
pub(crate) const NO_ROOT: &str = "the CA that signed it is an intermediate whose root is not in the CA file (mongod: \
    unable to get issuer certificate); add the root to the file";
pub(crate) const WRITTEN: &str = "its issuer name and the subject of the CA certificate in the CA file differ in \
    string type, case or spaces, and names are compared byte by byte; sign it again with the CA certificate that is \
    in the CA file";
pub(crate) const SELF_ISSUED: &str = "its subject equals its issuer, but it is not in the CA file itself (mongod: \
    self-signed certificate); reissue it with another subject, or add it to the CA file";
pub(crate) const LONG_CHAIN: &str = "its chain has more than 4 intermediate certificates; send only those up to the \
    root";
pub(crate) const TOO_COSTLY: &str = "its chain requires too many signature verifications; send only the certificates \
    up to the root, in order";
