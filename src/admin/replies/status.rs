//! `GET /status`.

use serde::{Deserialize, Serialize};

use super::servers::{BypassStatus, LinkStatus, MemberStatus, UpstreamStatus};
use crate::control::{ConnectionTotals, LeaseHeld, StandingRefusal, StatusReport};
use crate::limits::{BYPASS_SHOWN, CERTIFICATES_SHOWN};
use crate::net::SlotUsage;
use crate::policy::Spelling;
use crate::telemetry::now_millis;
use crate::text::{rfc3339, rfc3339_millis, rfc3339_secs};
use crate::tls::{Material, TlsItem, in_force};

/// `GET /status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// tlsramp's version.
    pub version: String,
    /// tlsramp's process ID.
    pub pid: u32,
    /// Seconds since the start.
    pub uptime_secs: u64,
    /// The mode in force.
    pub ssl_mode: String,
    /// The mode in force, in the newer spelling.
    pub tls_mode: String,
    /// The generation of the snapshot in force.
    pub generation: u64,
    /// The time at which the mode was last changed, or of the start: RFC 3339.
    pub mode_since: String,
    /// The caller who changed the mode last, as in the history; `None` for the mode at the start.
    pub mode_by: Option<String>,
    /// The mode in flags and file.
    pub configured_mode: String,
    /// The mode in the state file, if a restart would start in it.
    pub persisted_mode: Option<String>,
    /// How a restart would change the mode; `None` if it would not.
    pub drift: Option<String>,
    /// The listeners, by route.
    pub routes: Vec<RouteStatus>,
    /// The last probe of each server.
    pub upstreams: Vec<UpstreamStatus>,
    /// The links to other servers: each destination of an outbound route that is probed, or that was dialled within the
    /// guard's window.
    pub links: Vec<LinkStatus>,
    /// The known members of the set.
    pub members: Vec<MemberStatus>,
    /// Whether the interception rules are in force; `None` before the first check, or if no
    /// rules are expected.
    pub redirect: Option<bool>,
    /// Connections that bypass this proxy: the first hundred.
    pub bypass: Vec<BypassStatus>,
    /// Open connections by kind.
    pub connections: ConnectionCounts,
    /// The connection slots of inbound routes, then those of outbound routes.
    pub slots: Vec<SlotStatus>,
    /// The certificates, CAs and revocation lists in use that expire: at most 64, our own first.
    pub certificates: Vec<CertificateStatus>,
    /// The last rotation, if it was refused: the TLS files on disk are not those in force.
    pub refused_rotation: Option<RefusedChange>,
    /// The last reload, if it was refused: the configuration on disk is not the one in force.
    pub refused_reload: Option<RefusedChange>,
    /// The lease that excludes other writers, if one is held.
    pub lease: Option<LeaseStatus>,
    /// The inventory's size and losses.
    pub inventory: InventoryStatus,
    /// Critical warnings: connections fail or are accepted contrary to the mode; files on disk are refused.
    pub critical: Vec<String>,
    /// Warnings for the operator, one line each; the critical ones first.
    pub warnings: Vec<String>,
}

/// The listeners of a route.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteStatus {
    /// `inbound`, `outbound HOST:PORT`, `admin`, `probes`.
    pub name: String,
    /// The addresses of the listeners.
    pub listen: Vec<String>,
}

/// Open connections by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConnectionCounts {
    /// All open connections.
    pub open: usize,
    /// Inbound connections without TLS.
    pub plaintext: usize,
    /// Inbound connections with TLS, passed through or not.
    pub tls: usize,
    /// Connections on outbound routes.
    pub outbound: usize,
    /// Connections that the present policy would not make.
    pub non_conforming: usize,
    /// Connections that wait to be recycled.
    pub recycling: usize,
}

/// The connection slots of one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SlotStatus {
    /// `inbound` or `outbound`.
    pub direction: String,
    /// All slots, including those reserved for members.
    pub limit: usize,
    /// Slots in use.
    pub used: usize,
    /// Slots in use whose client has sent no byte yet.
    pub silent: usize,
    /// Connections that wait for a slot.
    pub waiting: usize,
}

/// A refused change, after which no change of its kind has succeeded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RefusedChange {
    /// The time of the first of consecutive refusals: RFC 3339.
    pub since: String,
    /// The interface through which the last refused change was requested.
    pub door: String,
    /// The requester of the last refused change.
    pub by: String,
    /// The reason for the refusal.
    pub error: String,
}

/// A certificate of ours, a CA, or a revocation list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CertificateStatus {
    /// The option that names the file.
    pub role: String,
    /// `certificate`, `chain`, `ca` or `crl`.
    pub kind: String,
    /// The path of the file.
    pub file: String,
    /// The subject, as in RFC 4514; for a revocation list, the issuer.
    pub subject: String,
    /// The serial number in hexadecimal, which tells certificates with the same subject apart.
    pub serial: String,
    /// The start of the validity, or `thisUpdate`: RFC 3339.
    pub not_before: String,
    /// The end of the validity, or `nextUpdate`: RFC 3339.
    pub not_after: String,
    /// Days until the end of the validity; negative after it.
    pub days_left: i64,
}

/// A lease that is held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LeaseStatus {
    /// The holder of the lease.
    pub holder: String,
    /// The remaining time of the lease.
    pub seconds_left: u64,
}

/// The inventory in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InventoryStatus {
    /// The number of rows.
    pub rows: usize,
    /// The number of clients that block `requireSSL`.
    pub unmoved: usize,
    /// Plaintext rows within the guard's window that were lost because the inventory was full.
    pub lost: u64,
}

impl From<StatusReport> for Status {
    fn from(report: StatusReport) -> Status {
        let mut routes = Vec::<RouteStatus>::new();
        for (name, address) in &report.listening {
            match routes.iter_mut().find(|route| *route.name == **name) {
                Some(route) => route.listen.push(address.to_string()),
                None => routes.push(RouteStatus { name: name.to_string(), listen: vec![address.to_string()] }),
            }
        }
        let (mode, certificates) = (report.snapshot.mode, CertificateStatus::all(&report.snapshot.tls));
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_secs: report.uptime.as_secs(),
            ssl_mode: mode.name(Spelling::Ssl).into(),
            tls_mode: mode.name(Spelling::Tls).into(),
            generation: report.snapshot.generation,
            mode_since: rfc3339(report.mode_since),
            mode_by: report.mode_by.map(|by| format!("{} {}", by.interface.name(), by.who.place())),
            configured_mode: report.configured.name(report.spelling).into(),
            persisted_mode: report.persisted.map(|mode| mode.name(Spelling::Ssl).into()),
            drift: report.drift,
            routes,
            upstreams: report.servers.into_iter().map(UpstreamStatus::from).collect(),
            links: report.links.iter().map(LinkStatus::from).collect(),
            members: report.members.members().iter().map(MemberStatus::from).collect(),
            redirect: report.redirect,
            bypass: report.bypass.iter().take(BYPASS_SHOWN).map(BypassStatus::from).collect(),
            connections: report.connections.into(),
            slots: report.slots.into_iter().map(SlotStatus::from).collect(),
            certificates,
            refused_rotation: report.refused_rotation.map(RefusedChange::from),
            refused_reload: report.refused_reload.map(RefusedChange::from),
            lease: report.lease.map(LeaseStatus::from),
            inventory: InventoryStatus {
                rows: report.inventory.rows,
                unmoved: report.inventory.unmoved,
                lost: report.inventory.lost,
            },
            critical: report.critical,
            warnings: report.warnings,
        }
    }
}

impl From<ConnectionTotals> for ConnectionCounts {
    fn from(counts: ConnectionTotals) -> ConnectionCounts {
        let ConnectionTotals { open, plaintext, tls, outbound, non_conforming, recycling } = counts;
        ConnectionCounts { open, plaintext, tls, outbound, non_conforming, recycling }
    }
}

impl From<(&'static str, SlotUsage)> for SlotStatus {
    fn from((direction, usage): (&'static str, SlotUsage)) -> SlotStatus {
        let SlotUsage { limit, used, silent, waiting, full: _ } = usage;
        SlotStatus { direction: direction.into(), limit, used, silent, waiting }
    }
}

impl From<StandingRefusal> for RefusedChange {
    fn from(refusal: StandingRefusal) -> RefusedChange {
        let StandingRefusal { since, interface, by, error } = refusal;
        RefusedChange { since: rfc3339_millis(since), door: interface.name().into(), by, error }
    }
}

impl From<LeaseHeld> for LeaseStatus {
    fn from(lease: LeaseHeld) -> LeaseStatus {
        LeaseStatus { holder: lease.holder, seconds_left: lease.left.as_secs() }
    }
}

impl CertificateStatus {
    /// The certificates, CAs and revocation lists in use that expire, our own first, up to the bound.
    pub(super) fn all(material: &Material) -> Vec<CertificateStatus> {
        let certificates = in_force(material.items(), now_millis() / 1000).take(CERTIFICATES_SHOWN);
        certificates.filter_map(CertificateStatus::new).collect()
    }

    fn new(one: &TlsItem) -> Option<CertificateStatus> {
        let ends = one.ends?;
        Some(CertificateStatus {
            role: one.role.to_string(),
            kind: one.kind.name().into(),
            file: one.path.display().to_string(),
            subject: one.subject.clone(),
            serial: one.serial.clone(),
            not_before: rfc3339_secs(one.begins),
            not_after: rfc3339_secs(ends),
            days_left: ends.saturating_sub(now_millis() / 1000).div_euclid(86_400),
        })
    }
}
