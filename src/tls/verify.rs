//! Who a peer must be. Thin layers over rustls's own verifiers: the names that a route accepts, mongod's two
//! `AllowInvalid` switches, and a reason in words for what OpenSSL took and rustls refuses.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::reason::{explain_certificate, explain_signature};

/// Verifies a server for the names of a route, whatever name its SNI was.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    /// Chain, dates, revocation and name; none if there is no CA, which only `allow_invalid` makes legal.
    pub(super) inner: Option<Arc<WebPkiServerVerifier>>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// Any of these may be the server's; never empty.
    pub(super) names: Vec<ServerName<'static>>,
    pub(super) allow_invalid_certificates: bool,
    pub(super) allow_invalid_hostnames: bool,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.allow_invalid_certificates {
            return Ok(ServerCertVerified::assertion());
        }
        let mut refusal = Error::General("no CA file to verify the server with".into());
        let Some(inner) = &self.inner else { return Err(refusal) };
        for name in &self.names {
            match inner.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
                // The name is looked at last: a certificate of the wrong name is right in all else.
                Err(error) if self.allow_invalid_hostnames && is_wrong_name(&error) => {
                    return Ok(ServerCertVerified::assertion());
                }
                Err(error) => refusal = error,
                Ok(verified) => return Ok(verified),
            }
        }
        Err(explain_certificate(refusal, end_entity))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
            .map_err(|error| explain_signature(error, certificate))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
            .map_err(|error| explain_signature(error, certificate))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Verifies a client as mongod does: weak validation excuses the absence of a certificate and nothing else.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    pub(super) inner: Arc<dyn ClientCertVerifier>,
    pub(super) allow_invalid_certificates: bool,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.inner.verify_client_cert(end_entity, intermediates, now) {
            Err(_) if self.allow_invalid_certificates => Ok(ClientCertVerified::assertion()),
            verdict => verdict.map_err(|error| explain_certificate(error, end_entity)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verdict = self.inner.verify_tls12_signature(message, certificate, signature);
        verdict.map_err(|error| explain_signature(error, certificate))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verdict = self.inner.verify_tls13_signature(message, certificate, signature);
        verdict.map_err(|error| explain_signature(error, certificate))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn is_wrong_name(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
    )
}
