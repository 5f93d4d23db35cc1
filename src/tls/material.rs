//! One set of TLS files as configurations: all or nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, Error, PeerIncompatible, ServerConfig, SupportedProtocolVersion, version};

use super::ca::{Ca, judge_by_issuers};
use super::crl::{CRL_REMEDY, Crls};
use super::fault::{Fault, FileRole};
use super::files::{Password, TlsFiles};
use super::gaps::gaps;
use super::handshake::version_name;
use super::identity::Dates;
use super::pem::{Found, Pem};
use super::reason::explain;
use super::resumption::{ClientSessions, ServerSessions, Tickets};
use super::trust::Trust;
use super::validity::{Kind, Unusable, Validity, findings, lines, unusable};
use super::verify::{ClientVerifier, ServerVerifier};
use super::{DisabledProtocols, Identity, pem, provider};
use crate::limits::CLIENT_CONFIGS;

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
    /// Judges clients as `admin` does.
    admin_judge: Option<Arc<ClientVerifier>>,
    validities: Vec<Validity>,
    versions: Vec<&'static SupportedProtocolVersion>,
    dialling: Option<Dialling>,
    /// One configuration per set of accepted names: sessions of one server never resume with another. Bounded by
    /// the routes, which alone name servers.
    clients: Mutex<HashMap<Vec<ServerName<'static>>, Arc<ClientConfig>>>,
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
    /// When the CAs and the revocation lists are valid.
    validities: Vec<Validity>,
}

impl Material {
    /// Reads all files and builds both sides. With it come warnings: what is legal and will hurt later.
    ///
    /// # Errors
    /// Every fault of every file. Nothing is kept of a set with one.
    pub fn load(files: &TlsFiles) -> Result<(Material, Vec<String>), Vec<Fault>> {
        Material::load_by(files, Dates::Enforced)
    }

    /// The same for files that take the place of others while connections are served: a certificate of ours that is out of
    /// date is no fault but a warning. [`Material::unusable`] tells of it.
    ///
    /// # Errors
    /// Every other fault of every file.
    pub fn load_again(files: &TlsFiles) -> Result<(Material, Vec<String>), Vec<Fault>> {
        Material::load_by(files, Dates::Shown)
    }

    fn load_by(files: &TlsFiles, dates: Dates) -> Result<(Material, Vec<String>), Vec<Fault>> {
        let read = Read::all(files, dates)?;
        let versions = versions(files.disabled);
        let clients_judge = read.clients_judge(files, false);
        let server = read.server(files, &versions, clients_judge.clone());
        let resuming = |config| Read::resuming(files, config);
        let server = server.and_then(|config| config.map(resuming).transpose()).map_err(|fault| vec![fault])?;
        let admin = read.admin(files, &versions).map_err(|fault| vec![fault])?;
        let dialling = read.dialling(files, versions.clone());
        let validities = read.validities(files);
        let warnings = read.warnings(&validities);
        let material = Material {
            admin,
            clients_judge,
            admin_judge: read.clients_judge(files, true),
            validities,
            versions,
            outgoing: read.cluster.or_else(|| read.serving.clone()),
            serving: read.serving,
            allow_invalid_certificates: files.allow_invalid_certificates,
            server,
            dialling,
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

    /// What the files hold and when it is valid: certificates of ours first, then their chains, CAs, revocation lists.
    #[must_use]
    pub fn validities(&self) -> &[Validity] {
        &self.validities
    }

    /// Whether a client is let in today that has agreed on this version and shown this chain, or none.
    /// Why this set is of no use at a moment, in seconds since 1970: see [`unusable`].
    #[must_use]
    pub fn unusable(&self, now: i64) -> Vec<Unusable> {
        unusable(&self.validities, now)
    }

    /// Whether a client that has shown this chain would be let in today. One that was asked for none always is.
    ///
    /// # Errors
    /// Why not.
    pub fn admits(&self, version: Option<&str>, chain: Option<&[CertificateDer<'_>]>) -> Result<(), Error> {
        if version.is_some() && !self.versions.iter().any(|enabled| version_name(enabled.version) == version) {
            return Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into());
        }
        let Some(judge) = &self.clients_judge else { return Ok(()) };
        match chain.and_then(<[_]>::split_first) {
            Some((leaf, intermediates)) => judge.verify_client_cert(leaf, intermediates, UnixTime::now()).map(drop),
            None if judge.client_auth_mandatory() => Err(Error::NoCertificatesPresented),
            None => Ok(()),
        }
    }

    /// Whether clients are asked for a certificate, and refused for a wrong one.
    #[must_use]
    pub fn judges_clients(&self) -> bool {
        self.clients_judge.is_some()
    }

    /// Whether a client of the admin port that has shown this chain would be let in today.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn verify_admin_client(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let Some(judge) = &self.admin_judge else { return Err("there is no CA file to verify it with".to_owned()) };
        let verified = match chain.split_first() {
            Some((leaf, intermediates)) => judge.verify_client_cert(leaf, intermediates, UnixTime::now()).map(drop),
            None => Err(rustls::Error::NoCertificatesPresented),
        };
        verified.map_err(|error| explain(&error))
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
        config.resumption = Resumption::store(Arc::new(ClientSessions::default()));
        Some(config)
    }
}

impl Read {
    fn all(files: &TlsFiles, dates: Dates) -> Result<Read, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut note = |fault: Fault| faults.push(fault);
        let identity = |role, path: &Option<_>, password: &Option<Password>| {
            let read = |path: &Path| {
                let password = password.as_ref().map(Password::read).transpose();
                let password =
                    password.map_err(|problem| Fault::new(role, path, problem, "correct the password file"))?;
                Identity::read(role, path, password.as_ref(), dates)
            };
            path.as_deref().map(read).transpose()
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
        let beside = |role, path: &Option<PathBuf>, cas: &Option<(Vec<Ca>, Pem)>| {
            let lists = cas.iter().flat_map(|(_, pem)| pem.crls.iter().cloned());
            lists.map(|list| (role, path.clone().unwrap_or_default(), list)).collect::<Vec<_>>()
        };
        let mut lists = beside(FileRole::Ca, &files.ca, &ca);
        lists.extend(beside(FileRole::ClusterCa, &files.cluster_ca, &cluster_ca));
        let crls = files.crl.as_deref().map(|path| revocations(path, lists, &known)).transpose();
        let (crls, of_lists) = crls.map_err(&mut note).ok().flatten().unwrap_or_default();
        let crls = Arc::new(crls);
        let authorities = |role, path: &Option<PathBuf>, cas: &Option<(Vec<Ca>, Pem)>| {
            let of = |ca: &Ca| {
                let validity = Validity::of_certificate(role, path.as_deref()?, Kind::Authority, &ca.der)?;
                Some(Validity {
                    verifies: ca.issues_anything().then_some((ca.not_before, ca.not_after)),
                    listed: ca.signs_crls && crls.has_list_of(&ca.raw_subject, &ca.raw_key),
                    is_useless: ca.is_useless(),
                    lacks_root: ca.lacks_root,
                    is_above: ca.is_above,
                    ..validity
                })
            };
            cas.iter().flat_map(|(cas, _)| cas).filter_map(of).collect::<Vec<_>>()
        };
        let mut validities = authorities(FileRole::Ca, &files.ca, &ca);
        validities.extend(authorities(FileRole::ClusterCa, &files.cluster_ca, &cluster_ca));
        validities.extend(of_lists);
        let trust =
            |cas: Option<(Vec<Ca>, Pem)>| cas.map(|(cas, _)| Arc::new(Trust::new(cas, Arc::clone(&crls), algorithms)));
        let read = Read {
            serving: serving.map_err(&mut note).ok().flatten(),
            cluster: cluster.map_err(&mut note).ok().flatten(),
            ca: trust(ca),
            cluster_ca: trust(cluster_ca),
            validities,
        };
        if faults.is_empty() { Ok(read) } else { Err(faults) }
    }

    fn warnings(&self, validities: &[Validity]) -> Vec<String> {
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        let mut warnings = lines(&findings(validities, now));
        warnings.extend(gaps(validities));
        if self.serving.as_ref().is_some_and(|identity| !identity.server_auth) {
            warnings.push(format!(
                "{}: its extended key usage lacks serverAuth; clients will refuse it",
                FileRole::CertificateKey
            ));
        }
        for (role, identity) in [(FileRole::CertificateKey, &self.serving), (FileRole::Cluster, &self.cluster)] {
            if identity.as_ref().is_some_and(Identity::is_issued_ca) {
                warnings.push(format!(
                    "{role}: it is a CA's (basicConstraints CA:TRUE), issued by another: peers with tlsramp refuse it; issue \
                     it anew with CA:FALSE"
                ));
            }
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
    ) -> Result<Option<ServerConfig>, Fault> {
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
        // No session is resumed unless `resuming` allows it; rustls has a cache and two tickets by default.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Some(config))
    }

    /// The same configuration with tickets and a session cache.
    fn resuming(files: &TlsFiles, mut config: ServerConfig) -> Result<Arc<ServerConfig>, Fault> {
        // A client that comes back takes the newest ticket and is given the next one: a second would never be used.
        config.send_tls13_tickets = 1;
        config.session_storage = Arc::new(ServerSessions::default());
        let ticketer = rustls::crypto::aws_lc_rs::Ticketer::new();
        let ticketer = ticketer.map_err(|error| server_fault(files, error.to_string()))?;
        config.ticketer = Arc::new(Tickets(ticketer));
        Ok(Arc::new(config))
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
        // Each connection shows its certificate anew: whoever changes the policy must hold one that is valid now.
        let Some(mut config) = self.server(files, versions, Some(judge))? else { return Ok(None) };
        // Offered, not required: MongoDB's clients name no protocol.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(Arc::new(config)))
    }

    fn validities(&self, files: &TlsFiles) -> Vec<Validity> {
        let serving = (FileRole::CertificateKey, &files.certificate_key, &self.serving);
        let cluster = (FileRole::Cluster, &files.cluster, &self.cluster);
        let ours = [serving, cluster].into_iter();
        let ours = ours.filter_map(|(role, path, identity)| Some((role, path.as_deref()?, identity.as_ref()?)));
        let ours = ours.flat_map(|(role, path, identity)| {
            let kinds = std::iter::once(Kind::Certificate).chain(std::iter::repeat(Kind::Chain));
            let certificates = identity.key.cert.iter().zip(kinds);
            certificates.filter_map(move |(der, kind)| Validity::of_certificate(role, path, kind, der))
        });
        let mut all: Vec<_> = ours.collect();
        // Ours before their chains.
        all.sort_by_key(|one| one.kind);
        all.extend(self.validities.iter().cloned());
        all
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
    let mut cas = cas.map_err(|problem| fault(problem, "take it out, or issue it anew as X.509 v3"))?;
    judge_by_issuers(&mut cas, &algorithms);
    if cas.is_empty() {
        let problem = "no usable CA certificate in it".to_owned();
        return Err(fault(problem, "put the CA's certificate (X.509 v3) into it as PEM"));
    }
    Ok((cas, pem))
}

/// The lists of the CRL file and those `beside` it. `cas` are all CAs that may have signed one.
fn revocations(path: &Path, beside: Lists, cas: &[&[u8]]) -> Result<(Crls, Vec<Validity>), Fault> {
    let fault = |problem: String, remedy| Fault::new(FileRole::Crl, path, problem, remedy);
    let own = pem::read(FileRole::Crl, path, None)?.crls;
    if own.is_empty() {
        return Err(fault("no certificate revocation list (BEGIN X509 CRL) in it".into(), CRL_REMEDY));
    }
    let own = own.into_iter().map(|list| (FileRole::Crl, path.to_owned(), list));
    let (places, lists): (Vec<_>, Vec<_>) = own.chain(beside).map(|(role, path, list)| ((role, path), list)).unzip();
    let algorithms = provider().signature_verification_algorithms;
    let crls = Crls::new(&lists, cas, &algorithms).map_err(|(problem, remedy)| fault(problem, remedy))?;
    let placed = places.iter().zip(&lists).zip(crls.groups());
    let validity =
        |role: FileRole, path: &Path, der: &[u8], group| Validity::of_list(role, path, der, group, crls.key_of(group));
    let validities = placed.filter_map(|(((role, path), found), group)| validity(*role, path, &found.der, *group));
    let validities = validities.collect();
    Ok((crls, validities))
}

/// Lists, and the files that they are in.
type Lists = Vec<(FileRole, PathBuf, Found<CertificateRevocationListDer<'static>>)>;

fn versions(disabled: DisabledProtocols) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(&version::TLS12, disabled.tls1_2), (&version::TLS13, disabled.tls1_3)];
    all.into_iter().filter(|(_, off)| !off).map(|(version, _)| version).collect()
}
