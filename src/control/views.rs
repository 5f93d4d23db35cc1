//! What the doors show, as JSON has it. The command-line client reads the same types back, so fields are only ever
//! added.

use serde::{Deserialize, Serialize};

/// `GET /status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// tlsramp's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_secs: u64,
    /// The mode in force.
    pub ssl_mode: String,
    /// The same in the newer spelling.
    pub tls_mode: String,
    /// The snapshot in force.
    pub generation: u64,
    /// When the mode was last changed, or taken at start: RFC 3339.
    pub mode_since: String,
    /// The mode that flags and file name.
    pub configured_mode: String,
    /// The mode that the state file would start with.
    pub persisted_mode: Option<String>,
    /// What a restart would do to the mode, where that is anything.
    pub drift: Option<String>,
    /// The listeners and where they lead.
    pub routes: Vec<RouteStatus>,
    /// The servers behind, as last probed.
    pub upstreams: Vec<UpstreamStatus>,
    /// The set's members, as far as they are known.
    pub members: Vec<MemberStatus>,
    /// Whether the redirect rules of a sidecar are in force; none: there never were any.
    pub redirect: Option<bool>,
    /// Connections that go around this proxy: the first hundred.
    pub bypass: Vec<BypassStatus>,
    /// Open connections by kind.
    pub connections: ConnectionCounts,
    /// The certificates in use.
    pub certificates: Vec<CertificateStatus>,
    /// Who keeps other writers out.
    pub lease: Option<LeaseStatus>,
    /// The inventory's size and losses.
    pub inventory: InventoryStatus,
    /// What an operator should look at, one line each.
    pub warnings: Vec<String>,
}

/// A listener and where it leads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteStatus {
    /// `inbound`, `outbound HOST:PORT`, `admin`, `probes`.
    pub name: String,
    /// The addresses listened on.
    pub listen: Vec<String>,
}

/// A server behind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UpstreamStatus {
    /// The route that leads there.
    pub route: String,
    /// Its address.
    pub upstream: String,
    /// Whether the link that the route would make now can be made.
    pub up: bool,
    /// The kind of that link: `plaintext`, `tls`, `untouched`.
    pub link: String,
    /// The TLS version, where it is TLS.
    pub tls_version: Option<String>,
    /// Why it cannot be made, or what is odd.
    pub reason: Option<String>,
    /// When that was found out: RFC 3339. Empty: not yet.
    pub checked: String,
    /// Its replica set.
    pub set_name: Option<String>,
    /// Its own name in the set.
    pub me: Option<String>,
    /// The members that it names, passives and arbiters included.
    pub hosts: Vec<String>,
    /// `PRIMARY`, `SECONDARY`, `ARBITER`, `OTHER`, `STANDALONE`, `MONGOS`.
    pub state: Option<String>,
    /// The other kind of link, as last tried for a change.
    pub other: Option<OtherLink>,
}

/// The kind of link that is not in use, as last tried.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OtherLink {
    /// `plaintext` or `tls`.
    pub link: String,
    /// Whether it can be made.
    pub up: bool,
    /// Why not.
    pub reason: Option<String>,
    /// When it was tried: RFC 3339.
    pub checked: String,
}

/// A member of the set, as the probe and --member tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its name in the set's configuration.
    pub name: String,
    /// Its addresses, as seen from this proxy.
    pub addresses: Vec<String>,
}

/// A connection that goes around this proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BypassStatus {
    /// `inbound`: to the server behind; `outbound`: from this host to another member.
    pub direction: String,
    /// Its address on this host.
    pub local: String,
    /// Its other end.
    pub remote: String,
    /// Whether that is an address of a member.
    pub member: bool,
}

/// Open connections by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConnectionCounts {
    /// All.
    pub open: usize,
    /// Inbound, without TLS.
    pub plaintext: usize,
    /// Inbound, with TLS, passed through or not.
    pub tls: usize,
    /// On outbound routes.
    pub outbound: usize,
    /// Those that today's policy would not make.
    pub non_conforming: usize,
    /// Those that wait to be moved.
    pub recycling: usize,
}

/// A certificate of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CertificateStatus {
    /// The option that names it.
    pub role: String,
    /// Its file.
    pub file: String,
    /// RFC 4514.
    pub subject: String,
    /// Its serial number in hexadecimal: which of several with this subject it is.
    pub serial: String,
    /// End of its validity: RFC 3339.
    pub not_after: String,
    /// Days until then; negative: since.
    pub days_left: i64,
}

/// A lease that is held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LeaseStatus {
    /// By whom.
    pub holder: String,
    /// For how long still.
    pub seconds_left: u64,
}

/// The inventory in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InventoryStatus {
    /// Rows.
    pub rows: usize,
    /// Applications that block `requireSSL`.
    pub unmoved: usize,
    /// Plaintext rows within the window that were lost to the bound.
    pub lost: u64,
}

/// A row of `GET /clients`: a peer, by kind and application.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientRow {
    /// What `accept` calls it.
    pub key: String,
    /// Its address.
    pub ip: String,
    /// `plaintext`, `TLS1.2`, `TLS1.3`, or `tls` where it is passed through.
    pub kind: String,
    /// The application's name for itself.
    pub application: Option<String>,
    /// The driver.
    pub driver: Option<String>,
    /// Its version.
    pub driver_version: Option<String>,
    /// Whether it is a mongod or mongos.
    pub member: bool,
    /// Connections open now.
    pub open: u64,
    /// Connections ever.
    pub total: u64,
    /// Of those, turned away by `requireSSL`.
    pub refused: u64,
    /// RFC 3339.
    pub first_seen: String,
    /// RFC 3339.
    pub last_seen: String,
    /// Whether it was accepted by name.
    pub accepted: bool,
    /// Whether it blocks `requireSSL` now.
    pub blocks: bool,
}

/// A row of `GET /connections`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConnectionRow {
    /// Its number in the log.
    pub id: u64,
    /// The client.
    pub peer: String,
    /// The route.
    pub route: String,
    /// `plaintext`, `tls`, ...
    pub opening: String,
    /// The version agreed on with the client.
    pub tls_version: Option<String>,
    /// The subject of its certificate.
    pub client_subject: Option<String>,
    /// The application's name for itself.
    pub application: Option<String>,
    /// The driver.
    pub driver: Option<String>,
    /// Its version.
    pub driver_version: Option<String>,
    /// Whether it is a mongod or mongos.
    pub member: bool,
    /// The mode it was judged by.
    pub mode: String,
    /// The snapshot it was judged by.
    pub generation: u64,
    /// Where it leads.
    pub upstream: Option<String>,
    /// Our own address there: what mongod calls the client.
    pub upstream_local: Option<String>,
    /// What that link is.
    pub upstream_link: String,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// Seconds since it was accepted.
    pub age_secs: u64,
    /// Why today's policy would not make it, if so.
    pub non_conforming: Option<String>,
    /// Whether it waits to be moved.
    pub recycling: bool,
}

/// `GET /ready?to=MODE`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Ready {
    /// The mode in force.
    pub mode: String,
    /// The mode asked about.
    pub to: String,
    /// Whether nothing stands in its way.
    pub ready: bool,
    /// What does.
    pub blockers: Vec<Blocker>,
}

/// Something that a change of mode would hurt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Blocker {
    /// `plaintextOpen`, `plaintextSeen`, `tlsOpen`, `tlsSeen`, `upstream`, `inventoryLost`, `unservable`, `bypass`,
    /// `redirect`; `more`: there are more.
    pub kind: String,
    /// Whether it refuses the change without a guard too.
    pub fatal: bool,
    /// What it is, in one line.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
    /// What `accept` calls it, where it can be accepted.
    pub key: Option<String>,
    /// The application, for a client.
    pub application: Option<String>,
    /// Its driver and version.
    pub driver: Option<String>,
    /// The client's or the upstream's address.
    pub address: Option<String>,
    /// Connections open now.
    pub open: Option<u64>,
    /// RFC 3339.
    pub last_seen: Option<String>,
}

/// Answer to `PUT /mode` and `POST /reload`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ModeReply {
    /// The mode before.
    pub was: String,
    /// The mode in force.
    pub mode: String,
    /// The snapshot that has it.
    pub generation: u64,
    /// Whether a restart starts in it by the state file.
    pub persisted: bool,
    /// What was worth a word.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Answer to `POST /rotate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RotateReply {
    /// The snapshot that has them.
    pub generation: u64,
    /// The certificates in use from now on.
    pub certificates: Vec<CertificateStatus>,
    /// What was worth a word.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Answer to `POST /recycle`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RecycleReply {
    /// Connections whose clients may see an error, or lose a request that wants no answer, if they are moved.
    pub at_risk: usize,
    /// Those of them that are left alone, because it was not asked for by `force`.
    pub left_alone: usize,
    /// Why they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<String>,
    /// Moved at a message boundary.
    pub moved: usize,
    /// Cut when the grace was over.
    pub cut: usize,
    /// Ended by themselves meanwhile.
    pub ended: usize,
    /// Still waiting for a boundary.
    pub waiting: usize,
    /// What was worth a word.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Answer to `POST /accept`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AcceptReply {
    /// The key.
    pub key: String,
    /// Whether it is accepted now.
    pub accepted: bool,
    /// Whether anyone of that name was ever seen.
    pub known: bool,
}

/// Every error of the HTTP door.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ErrorReply {
    /// What is wrong and what to do, in words.
    pub error: String,
    /// A word for programs: `IllegalTransition`, `Unreachable`, `Guarded`, `Leased`, `ReadOnly`, ...
    pub code: String,
    /// The findings, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<Blocker>,
}
