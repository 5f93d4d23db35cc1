//! rustls configurations of a set of TLS files.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion, version};

use super::load::LoadedFiles;
use crate::tls::errors::file_error::{FileError, FileRole};
use crate::tls::files::{DisabledProtocols, TlsFiles};
use crate::tls::identity::Identity;
use crate::tls::provider::provider;
use crate::tls::resumption::{ClientSessionCache, ExpiringTicketer, ServerSessionCache};
use crate::tls::verifier::chain::ChainVerifier;
use crate::tls::verifier::{ClientVerifier, ServerVerifier};

/// Configuration of the proxy for clients, with session tickets and a session cache.
pub(super) fn server(loaded: &LoadedFiles, files: &TlsFiles) -> Result<Option<Arc<ServerConfig>>, FileError> {
    let Some(mut config) = without_resumption(loaded, files, client_verifier(loaded, files))? else { return Ok(None) };
    // A client resumes with its newest ticket and then receives another one, so a second ticket would rarely be used.
    config.send_tls13_tickets = 1;
    config.session_storage = Arc::new(ServerSessionCache::default());
    let ticketer = rustls::crypto::aws_lc_rs::Ticketer::new();
    let ticketer = ticketer.map_err(|error| server_error(files, error.to_string()))?;
    config.ticketer = Arc::new(ExpiringTicketer(ticketer));
    Ok(Some(Arc::new(config)))
}

/// Configuration of the admin port. Sessions are not resumed: each connection must present a certificate that is valid
/// now.
pub(super) fn admin(loaded: &LoadedFiles, files: &TlsFiles) -> Result<Option<Arc<ServerConfig>>, FileError> {
    let Some(verifier) = admin_verifier(loaded) else { return Ok(None) };
    let Some(mut config) = without_resumption(loaded, files, Some(verifier))? else { return Ok(None) };
    // ALPN is offered but not required, because MongoDB clients do not send it.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

fn without_resumption(
    loaded: &LoadedFiles,
    files: &TlsFiles,
    verifier: Option<Arc<ClientVerifier>>,
) -> Result<Option<ServerConfig>, FileError> {
    let Some(identity) = &loaded.serving else { return Ok(None) };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions(files.disabled))
        .map_err(|error| server_error(files, error.to_string()))?;
    let builder = match verifier {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let mut config = builder.with_cert_resolver(identity.server_resolver());
    config.ignore_client_order = true;
    // By default, rustls has a session cache and sends two tickets.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Some(config))
}

/// Verifier for clients of the proxy; `None` without a CA file.
pub(super) fn client_verifier(loaded: &LoadedFiles, files: &TlsFiles) -> Option<Arc<ClientVerifier>> {
    let mandatory = !files.allow_connections_without_certificates;
    verifier(loaded, mandatory, files.allow_invalid_certificates)
}

/// Verifier for clients of the admin port. The options that relax the verification of clients do not apply here.
pub(super) fn admin_verifier(loaded: &LoadedFiles) -> Option<Arc<ClientVerifier>> {
    verifier(loaded, true, false)
}

fn verifier(loaded: &LoadedFiles, mandatory: bool, allow_invalid_certificates: bool) -> Option<Arc<ClientVerifier>> {
    let chains = loaded.cluster_ca.as_ref().or(loaded.ca.as_ref())?;
    Some(Arc::new(ClientVerifier {
        subjects: chains.subjects(),
        chains: Arc::clone(chains),
        algorithms: provider().signature_verification_algorithms,
        mandatory,
        allow_invalid_certificates,
    }))
}

/// The parts that all configurations for dialling servers share.
#[derive(Debug)]
pub(super) struct OutgoingTls {
    chains: Option<Arc<ChainVerifier>>,
    allow_invalid_certificates: bool,
    allow_invalid_hostnames: bool,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl OutgoingTls {
    /// Returns `None` if there is no CA file although certificates must verify.
    pub(super) fn new(loaded: &LoadedFiles, files: &TlsFiles) -> Option<OutgoingTls> {
        if loaded.ca.is_none() && !files.allow_invalid_certificates {
            return None;
        }
        Some(OutgoingTls {
            chains: loaded.ca.clone(),
            allow_invalid_certificates: files.allow_invalid_certificates,
            allow_invalid_hostnames: files.allow_invalid_hostnames,
            versions: versions(files.disabled),
        })
    }

    /// Configuration for dialling a server whose certificate must have one of `names`, with `identity` as the client
    /// certificate.
    pub(super) fn client_config(
        &self,
        identity: Option<&Identity>,
        names: &[ServerName<'static>],
    ) -> Option<ClientConfig> {
        let verifier = ServerVerifier {
            chains: self.chains.clone(),
            algorithms: provider().signature_verification_algorithms,
            names: names.to_vec(),
            allow_invalid_certificates: self.allow_invalid_certificates,
            allow_invalid_hostnames: self.allow_invalid_hostnames,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&self.versions)
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            Some(identity) => builder.with_client_cert_resolver(identity.client_resolver()),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::store(Arc::new(ClientSessionCache::default()));
        Some(config)
    }
}

pub(super) fn versions(disabled: DisabledProtocols) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(&version::TLS12, disabled.tls1_2), (&version::TLS13, disabled.tls1_3)];
    all.into_iter().filter(|(_, off)| !off).map(|(version, _)| version).collect()
}

/// An error in building the configuration for clients.
fn server_error(files: &TlsFiles, problem: String) -> FileError {
    let (role, path) = match &files.cluster_ca {
        Some(path) => (FileRole::ClusterCa, Some(path.as_path())),
        None => (FileRole::Ca, files.ca.as_deref()),
    };
    let path = path.or(files.certificate_key.as_deref()).unwrap_or(Path::new(""));
    FileError::new(role, path, problem, "check the CA and CRL files and the disabled protocol versions")
}
