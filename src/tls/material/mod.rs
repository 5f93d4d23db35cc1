//! The TLS configurations of one set of files, which are built completely or not at all.
//!
//! They include the ticket keys and session caches, so that no ticket outlives the certificates, CAs and CRLs under
//! which it was issued.

mod configs;
mod coverage;
mod findings;
mod item;
mod load;
#[cfg(test)]
mod tests;
mod unusable;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, Error, PeerIncompatible, ServerConfig, SupportedProtocolVersion};

use crate::limits::CLIENT_CONFIGS;
use crate::tls::errors::explain::explain;
use crate::tls::errors::file_error::FileError;
use crate::tls::files::TlsFiles;
use crate::tls::identity::{Identity, ValidityCheck};
use crate::tls::names::version_name;
use crate::tls::verifier::ClientVerifier;
use configs::OutgoingTls;
pub use coverage::{coverage_warnings, lost_crls};
pub use findings::{ValidityFinding, finding_lines, findings};
pub use item::{TlsItem, TlsItemKind, UnusableReason, in_force};
use load::LoadedFiles;
use unusable::unusable_reasons;

/// The TLS configurations of one snapshot, inbound and outbound.
#[derive(Debug)]
pub struct Material {
    /// The certificate presented to clients.
    pub serving: Option<Identity>,
    /// The certificate presented to servers: that of the cluster file, otherwise the one presented to clients.
    pub outgoing: Option<Identity>,
    /// Whether peers' certificates are accepted without verification, so that their identities prove nothing.
    pub allow_invalid_certificates: bool,
    server: Option<Arc<ServerConfig>>,
    /// Configuration of the admin port, which requires a valid client certificate whatever the other options are.
    admin: Option<Arc<ServerConfig>>,
    /// The verifier that `server` uses; `None` if clients are not asked for a certificate.
    client_verifier: Option<Arc<ClientVerifier>>,
    /// The verifier that `admin` uses.
    admin_verifier: Option<Arc<ClientVerifier>>,
    items: Vec<TlsItem>,
    versions: Vec<&'static SupportedProtocolVersion>,
    outgoing_tls: Option<OutgoingTls>,
    /// One configuration per set of accepted names, so that a session of one server is never resumed with another.
    client_configs: Mutex<HashMap<Vec<ServerName<'static>>, Arc<ClientConfig>>>,
}

impl Material {
    /// Reads all files and builds the inbound and outbound configurations. Also returns warnings about files that are
    /// valid but may cause failures later.
    ///
    /// # Errors
    /// All errors in all files.
    pub fn load(files: &TlsFiles) -> Result<(Material, Vec<String>), Vec<FileError>> {
        Material::load_with(files, ValidityCheck::Enforce)
    }

    /// As [`Material::load`], for files that replace others while connections are served: an expired or not yet valid
    /// certificate of ours is a warning instead of an error. [`Material::unusable`] reports it.
    ///
    /// # Errors
    /// All other errors in all files.
    pub fn load_again(files: &TlsFiles) -> Result<(Material, Vec<String>), Vec<FileError>> {
        Material::load_with(files, ValidityCheck::Skip)
    }

    fn load_with(files: &TlsFiles, check: ValidityCheck) -> Result<(Material, Vec<String>), Vec<FileError>> {
        let loaded = LoadedFiles::read(files, check)?;
        let items = loaded.items(files);
        let warnings = loaded.warnings(&items);
        let one = |error| vec![error];
        let material = Material {
            server: configs::server(&loaded, files).map_err(one)?,
            admin: configs::admin(&loaded, files).map_err(one)?,
            client_verifier: configs::client_verifier(&loaded, files),
            admin_verifier: configs::admin_verifier(&loaded),
            items,
            versions: configs::versions(files.disabled),
            outgoing_tls: OutgoingTls::new(&loaded, files),
            outgoing: loaded.cluster.or_else(|| loaded.serving.clone()),
            serving: loaded.serving,
            allow_invalid_certificates: files.allow_invalid_certificates,
            client_configs: Mutex::default(),
        };
        Ok((material, warnings))
    }

    /// Whether there is a certificate to present to clients.
    pub fn can_accept(&self) -> bool {
        self.server.is_some()
    }

    /// Whether servers can be dialled with TLS: there is a CA file, or certificates are accepted without verification.
    pub fn can_dial(&self) -> bool {
        self.outgoing_tls.is_some()
    }

    /// Configuration of the admin port. Clients must present a certificate that verifies, whatever the mode and the
    /// other options are. `None` unless there are a certificate of ours and a CA file.
    pub fn admin_config(&self) -> Option<Arc<ServerConfig>> {
        self.admin.clone()
    }

    /// All certificates and CRLs of the files, in this order: our certificates, their chains, CAs, CRLs.
    pub fn items(&self) -> &[TlsItem] {
        &self.items
    }

    /// Reasons why this set cannot be used at `now`, in seconds since 1970; empty if it can be used.
    pub fn unusable(&self, now: i64) -> Vec<UnusableReason> {
        unusable_reasons(&self.items, now)
    }

    /// Verifies a client whose handshake is complete, by its protocol version and certificate chain.
    ///
    /// # Errors
    /// The error with which a new handshake of this client would fail.
    pub fn admits(&self, version: Option<&str>, chain: Option<&[CertificateDer<'_>]>) -> Result<(), Error> {
        if version.is_some() && !self.versions.iter().any(|enabled| version_name(enabled.version) == version) {
            return Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into());
        }
        let Some(verifier) = &self.client_verifier else { return Ok(()) };
        match chain.and_then(<[_]>::split_first) {
            Some((leaf, intermediates)) => verifier.verify_client_cert(leaf, intermediates, UnixTime::now()).map(drop),
            None if verifier.client_auth_mandatory() => Err(Error::NoCertificatesPresented),
            None => Ok(()),
        }
    }

    /// Whether clients are asked for a certificate. A certificate that does not verify is refused, unless invalid
    /// certificates are allowed.
    pub fn verifies_clients(&self) -> bool {
        self.client_verifier.is_some()
    }

    /// Verifies the certificate chain of a client of the admin port.
    ///
    /// # Errors
    /// The reason why a new connection with this chain would be refused.
    pub fn verify_admin_client(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let Some(verifier) = &self.admin_verifier else {
            return Err("no CA file is configured to verify it with: set tlsCAFile".to_owned());
        };
        let verified = match chain.split_first() {
            Some((leaf, intermediates)) => verifier.verify_client_cert(leaf, intermediates, UnixTime::now()).map(drop),
            None => Err(Error::NoCertificatesPresented),
        };
        verified.map_err(|error| explain(&error))
    }

    /// Configuration of the proxy for clients.
    pub fn server_config(&self) -> Option<Arc<ServerConfig>> {
        self.server.clone()
    }

    /// Configuration for dialling servers with these names.
    pub fn client_config(&self, names: &[ServerName<'static>]) -> Option<Arc<ClientConfig>> {
        let outgoing_tls = self.outgoing_tls.as_ref()?;
        let mut configs = self.client_configs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = configs.get(names) {
            return Some(Arc::clone(config));
        }
        let config = Arc::new(outgoing_tls.client_config(self.outgoing.as_ref(), names)?);
        // Redirected connections can have any address, so the cache is bounded. Clearing it only loses sessions.
        if configs.len() >= CLIENT_CONFIGS {
            configs.clear();
        }
        configs.insert(names.to_vec(), Arc::clone(&config));
        Some(config)
    }
}
