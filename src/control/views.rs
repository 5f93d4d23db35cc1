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
    /// The links to other servers: each destination of an outbound route that is probed, or was dialled within the window
    /// of the guard.
    pub links: Vec<LinkStatus>,
    /// The set's members, as far as they are known.
    pub members: Vec<MemberStatus>,
    /// Whether the redirect rules of a sidecar are in force; none: there never were any.
    pub redirect: Option<bool>,
    /// Connections that go around this proxy: the first hundred.
    pub bypass: Vec<BypassStatus>,
    /// Open connections by kind.
    pub connections: ConnectionCounts,
    /// The connection slots of inbound routes, then those of outbound routes.
    pub slots: Vec<SlotStatus>,
    /// The certificates, CAs and revocation lists in use that have an end: at most 64, ours first.
    pub certificates: Vec<CertificateStatus>,
    /// The last rotation, if it was refused: the TLS files on disk are not those in force.
    pub refused_rotation: Option<RefusedChange>,
    /// The last reload, if it was refused: the configuration on disk is not the one in force.
    pub refused_reload: Option<RefusedChange>,
    /// Who keeps other writers out.
    pub lease: Option<LeaseStatus>,
    /// The inventory's size and losses.
    pub inventory: InventoryStatus,
    /// Of the warnings, those that cannot wait: connections fail, or are let in, against the mode; files on disk are refused.
    pub critical: Vec<String>,
    /// What an operator should look at, one line each; the critical ones first.
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

/// A link to another server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LinkStatus {
    /// The outbound route.
    pub route: String,
    /// Where it leads: host and port as configured, or the address that redirected connections go to.
    pub destination: String,
    /// The names of which the server's certificate must have one; the address, where none is known.
    pub names: Vec<String>,
    /// The kind of the last link: `plaintext`, `tls`, `untouched`.
    pub link: String,
    /// Whether it could be made when that was last tried, by a connection or by the probe.
    pub up: bool,
    /// Why not.
    pub reason: Option<String>,
    /// The option that would name the server by its certificate. Never used by itself: look first whether it is the server
    /// that is meant.
    pub suggestion: Option<String>,
    /// Connections that are open on it.
    pub open: usize,
    /// When it was last made: RFC 3339.
    pub last_ok: Option<String>,
    /// When it last failed: RFC 3339.
    pub last_failed: Option<String>,
}

/// A member of the set, as the probe and --member tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its name in the set's configuration.
    pub name: String,
    /// Its addresses, as seen from this proxy.
    pub addresses: Vec<String>,
    /// What names it: `option` (`--member`), `outbound`, `hello` (of the server behind), `rollout` (`POST /members`).
    pub sources: Vec<String>,
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

/// The connection slots of one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SlotStatus {
    /// `inbound` or `outbound`.
    pub direction: String,
    /// All, those kept for members included.
    pub limit: usize,
    /// Those that are taken.
    pub used: usize,
    /// Of those, the ones whose client has sent no byte yet.
    pub silent: usize,
    /// Connections that wait for a slot.
    pub waiting: usize,
}

/// A change that was refused, and none of its kind has succeeded since.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RefusedChange {
    /// The first of several in a row: RFC 3339.
    pub since: String,
    /// The door that the last one came by.
    pub door: String,
    /// By whom.
    pub by: String,
    /// Why.
    pub error: String,
}

/// A certificate of ours, a CA, or a revocation list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CertificateStatus {
    /// The option that names it.
    pub role: String,
    /// `certificate`, `chain`, `ca` or `crl`.
    pub kind: String,
    /// Its file.
    pub file: String,
    /// RFC 4514; of a revocation list, its issuer.
    pub subject: String,
    /// Its serial number in hexadecimal: which of several with this subject it is.
    pub serial: String,
    /// Begin of its validity, or `thisUpdate`: RFC 3339.
    pub not_before: String,
    /// End of its validity, or `nextUpdate`: RFC 3339.
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
    /// Of the row of all names beyond those that an address may have rows of its own for: about how many names that are.
    pub more_names: Option<u64>,
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
    /// The address that it connected to, where the route is transparent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
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
    /// The client's key in `GET /clients`, also where it cannot be accepted.
    pub client: Option<String>,
    /// Whether that client is a mongod or mongos.
    pub member: bool,
    /// About how many names it stands for, if it stands for many.
    pub more_names: Option<u64>,
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

/// Answer to `POST /members`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MembersReply {
    /// All members that are known now, from every source.
    pub members: Vec<MemberStatus>,
    /// What was worth a word.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `GET /history`: the last changes, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HistoryReply {
    /// At most 200.
    pub history: Vec<HistoryEntry>,
}

/// A change, made or refused. The state file has it in the same form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HistoryEntry {
    /// When; of several times, the last. RFC 3339, to the second.
    pub at: String,
    /// What kind of change.
    pub action: Action,
    /// What exactly: `allowSSL -> preferSSL, forced`.
    pub what: String,
    /// What came of it.
    pub effect: Effect,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The snapshot that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The door: `mongodb`, `http`, `signal`, `watch`, `program`.
    pub door: String,
    /// Who: an address with the subject of a certificate, a user by number, or this process.
    pub by: String,
    /// How often, where it repeated itself.
    pub times: u32,
    /// When it was first, where it repeated itself. RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Kinds of changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// The mode.
    Mode,
    /// Configuration and TLS files read again.
    Reload,
    /// TLS files read again.
    Rotate,
    /// The lease taken or given back. Renewals are left out.
    Lease,
    /// Old connections moved.
    Recycle,
    /// A client accepted by name, or no longer.
    Accept,
    /// Names of members set.
    Members,
    /// The start of the process.
    Start,
    /// Asked to stop by the admin port.
    Quit,
    /// One that a later version has.
    #[default]
    #[serde(other)]
    Other,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// It was made.
    Done,
    /// There was nothing to change.
    Kept,
    /// It was refused.
    Refused,
    /// What a later version has.
    #[default]
    #[serde(other)]
    Other,
}

impl Action {
    /// Its name, as JSON has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Action::Mode => "mode",
            Action::Reload => "reload",
            Action::Rotate => "rotate",
            Action::Lease => "lease",
            Action::Recycle => "recycle",
            Action::Accept => "accept",
            Action::Members => "members",
            Action::Start => "start",
            Action::Quit => "quit",
            Action::Other => "other",
        }
    }
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
