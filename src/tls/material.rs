//! One set of TLS files as configurations: all or nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::ServerSessionMemoryCache;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion, version};

use super::crl::{CRL_REMEDY, Crls};
use super::fault::{Fault, FileRole};
use super::files::TlsFiles;
use super::pem::{Found, Pem};
use super::trust::{Ca, Trust};
use super::verify::{ClientVerifier, ServerVerifier};
use super::{DisabledProtocols, Identity, pem, provider};
use crate::limits::{CLIENT_CONFIGS, CLIENT_SESSIONS, EXPIRY_WARNING_DAYS, SERVER_SESSIONS};

/// Everything TLS of one snapshot: what clients are served with and servers are dialled with.
#[derive(Debug)]
pub struct Material {
    /// Shown to clients.
    pub serving: Option<Identity>,
    /// Shown to servers: the cluster file, or else the same.
    pub outgoing: Option<Identity>,
    /// Whether identities of peers are worth nothing, because certificates need not verify.
    pub allow_invalid_certificates: bool,
    server: Option<Arc<ServerConfig>>,
    /// For the admin port: a client certificate that verifies, whatever the switches say.
    admin: Option<Arc<ServerConfig>>,
    /// Judges clients as `server` does; none if none is asked for a certificate.
    clients_judge: Option<Arc<ClientVerifier>>,
    certificates: Vec<CertificateInfo>,
    dialling: Option<Dialling>,
    /// The CAs of each CA file.
    trusts: Vec<(FileRole, Arc<Trust>)>,
    crls: Arc<Crls>,
    /// One configuration per set of accepted names: sessions of one server never resume with another. Bounded by
    /// the routes, which alone name servers.
    clients: Mutex<HashMap<Vec<ServerName<'static>>, Arc<ClientConfig>>>,
}

/// What is to be known of a certificate of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The file's part.
    pub role: FileRole,
    /// The file.
    pub path: PathBuf,
    /// RFC 4514.
    pub subject: String,
    /// In hexadecimal.
    pub serial: String,
    /// End of its validity, seconds since 1970.
    pub not_after: i64,
}

/// What outgoing configurations are made from.
#[derive(Debug)]
struct Dialling {
    trust: Option<Arc<Trust>>,
    allow_invalid_hostnames: bool,
    versions: Vec<&'static SupportedProtocolVersion>,
}

/// The files, read.
struct Read {
    serving: Option<Identity>,
    cluster: Option<Identity>,
    /// Judges servers, and clients if there is no cluster CA.
    ca: Option<Arc<Trust>>,
    cluster_ca: Option<Arc<Trust>>,
    crls: Arc<Crls>,
}

impl Material {
    /// Reads all files and builds both sides. With it come warnings: what is legal and will hurt later.
    ///
    /// # Errors
    /// Every fault of every file. Nothing is kept of a set with one.
    pub fn load(files: &TlsFiles) -> Result<(Material, Vec<String>), Vec<Fault>> {
        let read = Read::all(files)?;
        let versions = versions(files.disabled);
        let clients_judge = read.clients_judge(files, false);
        let server = read.server(files, &versions, clients_judge.clone()).map_err(|fault| vec![fault])?;
        let admin = read.admin(files, &versions).map_err(|fault| vec![fault])?;
        let dialling = read.dialling(files, versions);
        let warnings = read.warnings();
        let certificates = read.certificates(files);
        let trusts = [(FileRole::Ca, &read.ca), (FileRole::ClusterCa, &read.cluster_ca)];
        let trusts = trusts.into_iter().filter_map(|(role, trust)| Some((role, trust.clone()?))).collect();
        let material = Material {
            admin,
            clients_judge,
            certificates,
            outgoing: read.cluster.or_else(|| read.serving.clone()),
            serving: read.serving,
            allow_invalid_certificates: files.allow_invalid_certificates,
            server,
            dialling,
            trusts,
            crls: read.crls,
            clients: Mutex::default(),
        };
        Ok((material, warnings))
    }

    /// Whether clients can be served with TLS: there is a certificate.
    #[must_use]
    pub fn can_accept(&self) -> bool {
        self.server.is_some()
    }

    /// Whether servers can be dialled with TLS: there is something to verify them with, or no need to.
    #[must_use]
    pub fn can_dial(&self) -> bool {
        self.dialling.is_some()
    }

    /// The configuration of the admin port: clients must show a certificate that verifies, whatever the mode and the
    /// switches are. None without a certificate of ours and a CA.
    #[must_use]
    pub fn admin_config(&self) -> Option<Arc<ServerConfig>> {
        self.admin.clone()
    }

    /// The certificates of ours.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateInfo] {
        &self.certificates
    }

    /// Whether this set is of any use at a time, in seconds since 1970: its own certificates, at least one CA of each
    /// file, and the CRL of each issuer that the CRL file has one of.
    ///
    /// # Errors
    /// Each thing that is out of date, the same text for the same thing whenever it is asked.
    pub fn usable(&self, now: i64) -> Result<(), Vec<String>> {
        let mut reasons = Vec::new();
        let over = self.certificates.iter().filter(|certificate| certificate.not_after < now);
        reasons.extend(over.map(|certificate| format!("{}: {} has expired", certificate.role, certificate.subject)));
        for (role, trust) in &self.trusts {
            let valid = |ca: &Ca| ca.not_before <= now && now <= ca.not_after;
            if !trust.cas().iter().any(valid) {
                let named: Vec<_> = trust.cas().iter().map(|ca| ca.subject.as_str()).collect();
                reasons.push(format!("{role}: no CA of it is valid now ({})", named.join(", ")));
            }
        }
        let out_of_date = self.crls.newest(now).filter(|crl| now < crl.this_update || crl.next_update <= now);
        reasons.extend(out_of_date.map(|crl| format!("{}: the CRL of {} is out of date", FileRole::Crl, crl.issuer)));
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    /// Whether a client that has shown this chain would be let in today. One that was asked for none always is.
    ///
    /// # Errors
    /// Why not.
    pub fn verify_client(&self, chain: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let (Some(judge), Some((leaf, intermediates))) = (&self.clients_judge, chain.split_first()) else {
            return Ok(());
        };
        judge.verify_client_cert(leaf, intermediates, UnixTime::now()).map(drop)
    }

    /// The configuration that clients are served with.
    #[must_use]
    pub fn server_config(&self) -> Option<Arc<ServerConfig>> {
        self.server.clone()
    }

    /// The configuration that servers of these names are dialled with.
    #[must_use]
    pub fn client_config(&self, names: &[ServerName<'static>]) -> Option<Arc<ClientConfig>> {
        let dialling = self.dialling.as_ref()?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = clients.get(names) {
            return Some(Arc::clone(config));
        }
        let config = Arc::new(self.new_client_config(dialling, names)?);
        // Redirected connections go anywhere: what they leave behind is bounded. Sessions are lost, no more.
        if clients.len() >= CLIENT_CONFIGS {
            clients.clear();
        }
        clients.insert(names.to_vec(), Arc::clone(&config));
        Some(config)
    }

    fn new_client_config(&self, dialling: &Dialling, names: &[ServerName<'static>]) -> Option<ClientConfig> {
        let verifier = ServerVerifier {
            trust: dialling.trust.clone(),
            algorithms: provider().signature_verification_algorithms,
            names: names.to_vec(),
            allow_invalid_certificates: self.allow_invalid_certificates,
            allow_invalid_hostnames: dialling.allow_invalid_hostnames,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&dialling.versions)
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.outgoing {
            Some(identity) => builder.with_client_cert_resolver(identity.client_resolver()),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(CLIENT_SESSIONS);
        Some(config)
    }
}

impl Read {
    fn all(files: &TlsFiles) -> Result<Read, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut note = |fault: Fault| faults.push(fault);
        let identity = |role, path: &Option<_>, password: &Option<_>| {
            path.as_deref().map(|path: &Path| Identity::read(role, path, password.as_ref())).transpose()
        };
        let serving = identity(FileRole::CertificateKey, &files.certificate_key, &files.certificate_key_password);
        let cluster = identity(FileRole::Cluster, &files.cluster, &files.cluster_password);
        let algorithms = provider().signature_verification_algorithms;
        let ca = files.ca.as_deref().map(|path| cas(FileRole::Ca, path)).transpose();
        let cluster_ca = files.cluster_ca.as_deref().map(|path| cas(FileRole::ClusterCa, path)).transpose();
        let ca = ca.map_err(&mut note).ok().flatten();
        let cluster_ca = cluster_ca.map_err(&mut note).ok().flatten();
        let known = ca.iter().chain(&cluster_ca).flat_map(|(cas, _)| cas).map(|ca| ca.der.as_ref()).collect::<Vec<_>>();
        // As in OpenSSL, lists in the CA files count too, once revocation is checked.
        let beside = || ca.iter().chain(&cluster_ca).flat_map(|(_, pem)| pem.crls.iter().cloned()).collect();
        let crls = files.crl.as_deref().map(|path| revocations(path, beside(), &known)).transpose();
        let crls = Arc::new(crls.map_err(&mut note).ok().flatten().unwrap_or_default());
        let trust =
            |cas: Option<(Vec<Ca>, Pem)>| cas.map(|(cas, _)| Arc::new(Trust::new(cas, Arc::clone(&crls), algorithms)));
        let read = Read {
            serving: serving.map_err(&mut note).ok().flatten(),
            cluster: cluster.map_err(&mut note).ok().flatten(),
            ca: trust(ca),
            cluster_ca: trust(cluster_ca),
            crls: Arc::clone(&crls),
        };
        if faults.is_empty() { Ok(read) } else { Err(faults) }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let named = [(FileRole::CertificateKey, &self.serving), (FileRole::Cluster, &self.cluster)];
        for (role, identity) in named.into_iter().filter_map(|(role, identity)| Some((role, identity.as_ref()?))) {
            if let Some(days) = identity.days_left().filter(|days| *days < EXPIRY_WARNING_DAYS) {
                warnings.push(format!("{role}: the certificate {} expires in {days} days", identity.subject));
            }
        }
        if self.serving.as_ref().is_some_and(|identity| !identity.server_auth) {
            warnings.push(format!(
                "{}: its extended key usage lacks serverAuth; clients will refuse it",
                FileRole::CertificateKey
            ));
        }
        if self.cluster.as_ref().is_some_and(|identity| !identity.client_auth) {
            warnings.push(format!(
                "{}: its extended key usage lacks clientAuth; servers will refuse it",
                FileRole::Cluster
            ));
        }
        warnings
    }

    fn server(
        &self,
        files: &TlsFiles,
        versions: &[&'static SupportedProtocolVersion],
        judge: Option<Arc<ClientVerifier>>,
    ) -> Result<Option<Arc<ServerConfig>>, Fault> {
        let Some(identity) = &self.serving else { return Ok(None) };
        let fault = |problem: String| server_fault(files, problem);
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| fault(error.to_string()))?;
        let builder = match judge {
            None => builder.with_no_client_auth(),
            Some(judge) => builder.with_client_cert_verifier(judge),
        };
        let mut config = builder.with_cert_resolver(identity.server_resolver());
        config.ignore_client_order = true;
        // A client that comes back takes the newest ticket and is given the next one: a second would never be used.
        config.send_tls13_tickets = 1;
        config.session_storage = ServerSessionMemoryCache::new(SERVER_SESSIONS);
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|error| fault(error.to_string()))?;
        Ok(Some(Arc::new(config)))
    }

    /// What judges clients; strictly, where the switches that excuse them do not count.
    fn clients_judge(&self, files: &TlsFiles, strictly: bool) -> Option<Arc<ClientVerifier>> {
        let trust = self.cluster_ca.as_ref().or(self.ca.as_ref())?;
        Some(Arc::new(ClientVerifier {
            subjects: trust.subjects(),
            trust: Arc::clone(trust),
            algorithms: provider().signature_verification_algorithms,
            mandatory: strictly || !files.allow_connections_without_certificates,
            allow_invalid_certificates: files.allow_invalid_certificates && !strictly,
        }))
    }

    fn admin(
        &self,
        files: &TlsFiles,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Option<Arc<ServerConfig>>, Fault> {
        let Some(judge) = self.clients_judge(files, true) else { return Ok(None) };
        let Some(config) = self.server(files, versions, Some(judge))? else { return Ok(None) };
        let mut config = ServerConfig::clone(&config);
        // Offered, not required: MongoDB's clients name no protocol.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(Arc::new(config)))
    }

    fn certificates(&self, files: &TlsFiles) -> Vec<CertificateInfo> {
        let serving = (FileRole::CertificateKey, &files.certificate_key, &self.serving);
        let cluster = (FileRole::Cluster, &files.cluster, &self.cluster);
        let known = [serving, cluster].into_iter();
        let known = known.filter_map(|(role, path, identity)| Some((role, path.clone()?, identity.as_ref()?)));
        known
            .map(|(role, path, identity)| CertificateInfo {
                role,
                path,
                subject: identity.subject.clone(),
                serial: identity.serial.clone(),
                not_after: identity.not_after,
            })
            .collect()
    }

    fn dialling(&self, files: &TlsFiles, versions: Vec<&'static SupportedProtocolVersion>) -> Option<Dialling> {
        if self.ca.is_none() && !files.allow_invalid_certificates {
            return None;
        }
        let allow_invalid_hostnames = files.allow_invalid_hostnames;
        Some(Dialling { trust: self.ca.clone(), allow_invalid_hostnames, versions })
    }
}

/// A fault of the side that serves clients.
fn server_fault(files: &TlsFiles, problem: String) -> Fault {
    let (role, path) = match &files.cluster_ca {
        Some(path) => (FileRole::ClusterCa, Some(path.as_path())),
        None => (FileRole::Ca, files.ca.as_deref()),
    };
    let path = path.or(files.certificate_key.as_deref()).unwrap_or(Path::new(""));
    Fault::new(role, path, problem, "check the CA and CRL files and the disabled protocols")
}

/// The certificates of a CA file, with the rest of it.
fn cas(role: FileRole, path: &Path) -> Result<(Vec<Ca>, Pem), Fault> {
    let fault = |problem: String, remedy| Fault::new(role, path, problem, remedy);
    let mut pem = pem::read(role, path, None)?;
    let algorithms = provider().signature_verification_algorithms;
    let certificates = std::mem::take(&mut pem.certificates).into_iter();
    let cas = certificates.map(|found| Ca::new(found, &algorithms)).collect::<Result<Vec<_>, _>>();
    let cas = cas.map_err(|problem| fault(problem, "take it out, or issue it anew as X.509 v3"))?;
    if cas.is_empty() {
        let problem = "no usable CA certificate in it".to_owned();
        return Err(fault(problem, "put the CA's certificate (X.509 v3) into it as PEM"));
    }
    Ok((cas, pem))
}

/// The lists of the CRL file and those `beside` it. `cas` are all CAs that may have signed one.
fn revocations(path: &Path, beside: Lists, cas: &[&[u8]]) -> Result<Crls, Fault> {
    let fault = |problem: String, remedy| Fault::new(FileRole::Crl, path, problem, remedy);
    let mut lists = pem::read(FileRole::Crl, path, None)?.crls;
    if lists.is_empty() {
        return Err(fault("no certificate revocation list (BEGIN X509 CRL) in it".into(), CRL_REMEDY));
    }
    lists.extend(beside);
    let algorithms = provider().signature_verification_algorithms;
    Crls::new(&lists, cas, &algorithms).map_err(|(problem, remedy)| fault(problem, remedy))
}

type Lists = Vec<Found<CertificateRevocationListDer<'static>>>;

fn versions(disabled: DisabledProtocols) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(&version::TLS12, disabled.tls1_2), (&version::TLS13, disabled.tls1_3)];
    all.into_iter().filter(|(_, off)| !off).map(|(version, _)| version).collect()
}
