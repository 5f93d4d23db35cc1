//! The verifiers that rustls calls: [`Trust`] judges the certificate, and here are the names that a route accepts,
//! mongod's two `AllowInvalid` switches, and a reason in words for what OpenSSL took and rustls refuses.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::reason::{explain_certificate, explain_signature, refusal};
use super::resumption::{NEVER, note};
use super::trust::{Peer, Trust};

/// Verifies a server for the names of a route, whatever name its SNI was.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    /// Chain, dates, revocation and name; none if there is no CA, which only `allow_invalid` makes legal.
    pub(super) trust: Option<Arc<Trust>>,
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
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.allow_invalid_certificates {
            return Ok(ServerCertVerified::assertion());
        }
        let Some(trust) = &self.trust else {
            return Err(Error::General("no CA file to verify the server with".into()));
        };
        let explained = |error| explain_certificate(error, end_entity);
        note(trust.verify(end_entity, intermediates, Peer::Server, now).map_err(explained)?);
        if self.allow_invalid_hostnames {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = webpki::EndEntityCert::try_from(end_entity).map_err(refusal)?;
        let mut wrong = Error::General("no name to verify the server by".into());
        for name in &self.names {
            match certificate.verify_is_valid_for_subject_name(name) {
                Ok(()) => return Ok(ServerCertVerified::assertion()),
                Err(error) => wrong = explained(refusal(error)),
            }
        }
        Err(wrong)
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
    pub(super) trust: Arc<Trust>,
    pub(super) subjects: Vec<DistinguishedName>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) mandatory: bool,
    pub(super) allow_invalid_certificates: bool,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.trust.verify(end_entity, intermediates, Peer::Client, now) {
            Err(error) if !self.allow_invalid_certificates => return Err(explain_certificate(error, end_entity)),
            Ok(end) if !self.allow_invalid_certificates => note(end),
            _ => note(NEVER),
        }
        Ok(ClientCertVerified::assertion())
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
