//! The state of the whole proxy, with warnings.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::answer_limit::AnswerSize;
use super::bypass_scan::Bypass;
use super::caller::Caller;
use super::change::ChangeError;
use super::checks::interception::{interception, missing_rules};
use super::checks::readiness::lost_clients;
use super::checks::tls_files::expiry_warnings;
use super::lease::LeaseHeld;
use super::links::{self, LinkHealth};
use super::probe::ServerStatus;
use super::refusals::StandingRefusal;
use super::state_file::PersistedMode;
use super::view::{ConnectionReport, InventoryCounts, View};
use crate::net::SlotUsage;
use crate::policy::{Acceptance, Mode, Opening, Spelling};
use crate::route::RouteId;
use crate::state::{MemberList, Snapshot};
use crate::text::printable;

/// The state of the whole proxy.
#[derive(Debug)]
pub struct StatusReport {
    /// The time since the start.
    pub uptime: Duration,
    /// The snapshot in force.
    pub snapshot: Arc<Snapshot>,
    /// The time at which the mode was last changed, or of the start.
    pub mode_since: SystemTime,
    /// The caller who changed the mode last, as in the history; `None` for the mode at the start.
    pub mode_by: Option<Caller>,
    /// The mode in flags and file now.
    pub configured: Mode,
    /// The spelling in flags and file.
    pub spelling: Spelling,
    /// The persisted mode. A restart starts in it, unless the configured mode has changed since.
    pub persisted: Option<Mode>,
    /// How a restart would change the mode; `None` if it would not.
    pub drift: Option<String>,
    /// The addresses of all listeners, by route name.
    pub listening: Vec<(Arc<str>, SocketAddr)>,
    /// The last probe of each server.
    pub servers: Vec<ServerStatus>,
    /// The links to other servers.
    pub links: Vec<LinkHealth>,
    /// The known members of the set.
    pub members: Arc<MemberList>,
    /// Whether the interception rules were in force at the last check; `None` before the first check, or if no rules
    /// are expected.
    pub redirect: Option<bool>,
    /// Connections that bypass this proxy.
    pub bypass: Vec<Bypass>,
    /// Open connections by kind.
    pub connections: ConnectionTotals,
    /// The connection slots of inbound routes, then those of outbound routes.
    pub slots: [(&'static str, SlotUsage); 2],
    /// The last rotation, if it was refused.
    pub refused_rotation: Option<StandingRefusal>,
    /// The last reload, if it was refused.
    pub refused_reload: Option<StandingRefusal>,
    /// The lease, if it is held.
    pub lease: Option<LeaseHeld>,
    /// The inventory in numbers.
    pub inventory: InventoryCounts,
    /// The urgent warnings: connections fail or are accepted against the mode, or files on disk are refused.
    pub critical: Vec<String>,
    /// All warnings, one line each, the urgent ones first.
    pub warnings: Vec<String>,
}

/// Open connections by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionTotals {
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

/// Reports the state of the whole proxy. Reads the configuration file again, to compare it with the configuration in
/// force.
///
/// # Errors
/// [`ChangeError::Busy`]
pub async fn status(view: &Arc<View>) -> Result<StatusReport, ChangeError> {
    view.recheck_certificates().await;
    let (configured, spelling) = view.configured_mode().await;
    view.read(AnswerSize::Summary, move |view| report(view, configured, spelling)).await
}

fn report(view: &View, configured: Mode, spelling: Spelling) -> StatusReport {
    let (snapshot, refused) = (view.snapshot(), view.refusals().standing());
    let (servers, links, slots) = (view.servers(), links::links(view), view.listeners().slots());
    let drift = drift(snapshot.mode, view.restart_mode(configured), spelling);
    let inventory = view.inventory_counts();
    let missing = missing_rules(view);
    let mut critical: Vec<String> =
        missing.iter().filter(|rules| rules.critical).map(|rules| rules.text.clone()).collect();
    let (expired, expiring) = expiry_warnings(&snapshot.tls);
    critical.extend(expired);
    // Critical, since a refused file may be a revocation list: until it is in force, the clients that it revokes can
    // connect.
    critical.extend(refused.warnings());
    let mut warnings = critical.clone();
    warnings.extend(drift.iter().cloned());
    warnings.extend(servers.iter().filter_map(down));
    warnings.extend(servers.iter().filter_map(|server| advertised_past(view, server)));
    warnings.extend(links::warnings(&links));
    warnings.extend(missing.filter(|rules| !rules.critical).map(|rules| rules.text));
    warnings.extend(expiring);
    warnings.extend((inventory.lost > 0).then(|| lost_clients(inventory.lost)));
    warnings.extend(slots.iter().filter_map(full));
    let (mode_since, mode_by, persisted, lease) = view.running(|running| {
        let persisted = running.persisted.as_ref().and_then(PersistedMode::mode);
        (running.mode_since, running.mode_by.clone(), persisted, running.lease.held_now())
    });
    StatusReport {
        uptime: view.started().elapsed(),
        mode_since,
        mode_by,
        configured,
        spelling,
        persisted,
        drift,
        listening: view.addresses(),
        servers,
        links,
        members: view.members(),
        redirect: view.interception().rules(),
        bypass: view.interception().bypass(),
        connections: counts(view),
        slots,
        refused_rotation: refused.rotation,
        refused_reload: refused.reload,
        lease,
        inventory,
        critical,
        warnings,
        snapshot,
    }
}

fn counts(view: &View) -> ConnectionTotals {
    let mut counts = ConnectionTotals { non_conforming: view.pending_non_conforming(), ..ConnectionTotals::default() };
    for ConnectionReport { open, non_conforming } in view.connections() {
        counts.open += 1;
        match (open.acceptance, open.opening) {
            (Acceptance::Outbound, _) => counts.outbound += 1,
            (Acceptance::Terminate | Acceptance::Passthrough, Opening::Plaintext) => counts.plaintext += 1,
            (Acceptance::Terminate | Acceptance::Passthrough, Opening::Tls | Opening::OldTls | Opening::Sslv2) => {
                counts.tls += 1;
            }
        }
        counts.non_conforming += usize::from(non_conforming.is_some());
        counts.recycling += usize::from(open.recycling.is_requested());
    }
    counts
}

/// A warning if the set advertises the server's own port, so that drivers bypass this proxy.
fn advertised_past(view: &View, server: &ServerStatus) -> Option<String> {
    let me = server.hello.as_ref()?.me.as_ref().filter(|_| server.route == RouteId::Inbound)?;
    let interception = interception(view);
    let own = interception.leads_around()?;
    let port = interception.listens.first().copied().unwrap_or_default();
    Some(format!(
        "the set advertises {}, the server's own port: drivers that learn it there bypass tlsramp. Let the set \
         advertise port {port} (rs.reconfig), or redirect connections to {own} (tlsramp netfilter)",
        printable(me)
    ))
}

fn full((direction, usage): &(&str, SlotUsage)) -> Option<String> {
    let SlotUsage { limit, used, silent, waiting, full } = *usage;
    let remedy = if *direction == "inbound" {
        "raise maxIncomingConnections, limit the connections from one address (maxConnectionsPerIp), or close silent \
         clients (onSilence close)"
    } else {
        "raise the descriptor limit (ulimit -n, LimitNOFILE)"
    };
    full.then(|| {
        format!(
            "{direction}: all connection slots for clients are taken ({used} of {limit}; {silent} of them silent; \
             {waiting} connections wait): {remedy}"
        )
    })
}

fn drift(mode: Mode, restart: Mode, spelling: Spelling) -> Option<String> {
    let verb = if restart < mode { "back to" } else { "on to" };
    (restart != mode).then(|| format!("a restart would go {verb} {}", restart.name(spelling)))
}

fn down(server: &ServerStatus) -> Option<String> {
    let ServerStatus { upstream, route, up, reason, checked, .. } = server;
    (!up && checked.is_some())
        .then(|| format!("{upstream} ({route}) is down: {}", reason.as_deref().unwrap_or("the reason is unknown")))
}

#[cfg(test)]
mod tests {
    use super::drift;
    use crate::policy::Mode::{Allow, Prefer, Require};
    use crate::policy::Spelling::{Ssl, Tls};

    #[test]
    fn drift_is_what_a_restart_would_change() {
        assert_eq!(drift(Prefer, Prefer, Ssl), None);
        assert_eq!(drift(Require, Allow, Ssl).as_deref(), Some("a restart would go back to allowSSL"));
        assert_eq!(drift(Allow, Require, Tls).as_deref(), Some("a restart would go on to requireTLS"));
    }
}
