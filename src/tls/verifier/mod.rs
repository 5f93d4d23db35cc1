//! The certificate verifiers of the rustls configurations: [`chain::ChainVerifier`] for the chain, the names that a
//! route accepts, and mongod's two `AllowInvalid` options.

pub(crate) mod ca;
pub(crate) mod chain;
mod signature_cache;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::tls::errors::certificate::{explain_certificate, explain_signature};
use crate::tls::errors::diagnosis::refusal;
use crate::tls::resumption::{NEVER, note};
use crate::tls::x509::purpose::PeerRole;
use chain::ChainVerifier;

/// Verification of handshake signatures, which is the same for clients and servers.
macro_rules! verify_handshake_signatures {
    () => {
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
    };
}

/// Verifies a server's certificate: its chain, and that it has one of the names of a route. The SNI is not used.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    /// `None` without a CA file, which is allowed only with `allow_invalid_certificates`.
    pub(crate) chains: Option<Arc<ChainVerifier>>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
    /// The certificate must have one of these names; never empty.
    pub(crate) names: Vec<ServerName<'static>>,
    pub(crate) allow_invalid_certificates: bool,
    pub(crate) allow_invalid_hostnames: bool,
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
        let Some(chains) = &self.chains else {
            return Err(Error::General("no CA file is configured to verify the server with".into()));
        };
        let explained = |error| explain_certificate(error, end_entity);
        note(chains.verify(end_entity, intermediates, PeerRole::Server, now).map_err(explained)?);
        if self.allow_invalid_hostnames {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = webpki::EndEntityCert::try_from(end_entity).map_err(refusal)?;
        let mut wrong = Error::General("the route has no name to verify the server's certificate for".into());
        for name in &self.names {
            match certificate.verify_is_valid_for_subject_name(name) {
                Ok(()) => return Ok(ServerCertVerified::assertion()),
                Err(error) => wrong = explained(refusal(error)),
            }
        }
        Err(wrong)
    }

    verify_handshake_signatures!();
}

/// Verifies a client as mongod does. `sslAllowConnectionsWithoutCertificates` only allows a client to send no
/// certificate.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    pub(crate) chains: Arc<ChainVerifier>,
    pub(crate) subjects: Vec<DistinguishedName>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
    pub(crate) mandatory: bool,
    pub(crate) allow_invalid_certificates: bool,
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
        match self.chains.verify(end_entity, intermediates, PeerRole::Client, now) {
            Err(error) if !self.allow_invalid_certificates => return Err(explain_certificate(error, end_entity)),
            Ok(end) if !self.allow_invalid_certificates => note(end),
            _ => note(NEVER),
        }
        Ok(ClientCertVerified::assertion())
    }

    verify_handshake_signatures!();
}
