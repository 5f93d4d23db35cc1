//! What is shown of the proxy as a whole.

use std::sync::Arc;

use super::change::ChangeError;
use super::controller::{Controller, lease_status};
use super::links;
use super::readers::Size;
use super::redirect::shown;
use super::time::{rfc3339, rfc3339_millis};
use super::views::{CertificateStatus, ConnectionCounts, RouteStatus, SlotStatus, Status, UpstreamStatus};
use crate::limits::CERTIFICATES_SHOWN;
use crate::net::SlotUsage;
use crate::policy::{Acceptance, Mode, Opening, Spelling};
use crate::state::Snapshot;
use crate::telemetry::now_millis;
use crate::tls::{Material, TlsItem, ValidityFinding, coverage_warnings, finding_lines, findings, in_force};

impl Controller {
    /// Everything at a glance. Reads the configuration file again, to say what a restart would do.
    ///
    /// # Errors
    /// [`ChangeError::Busy`]
    pub async fn status(self: &Arc<Self>) -> Result<Status, ChangeError> {
        self.recheck_certificates().await;
        let (configured, spelling) = self.configured_mode().await;
        self.read(Size::Summary, move |controller| controller.status_now(configured, spelling)).await
    }

    fn status_now(&self, configured: Mode, spelling: Spelling) -> Status {
        let snapshot = self.snapshot();
        let upstreams = self.prober.status();
        let drift = drift(snapshot.mode, self.restart_mode(configured), spelling);
        let inventory = self.inventory_status();
        let links = self.link_rows();
        let missing = self.missing_rules();
        let mut critical: Vec<String> =
            missing.iter().filter(|rules| rules.critical).map(|rules| rules.text.clone()).collect();
        let (fails, ends) = expiry_warnings(&snapshot.tls);
        critical.extend(fails);
        // A CRL on disk that is not in force lets in those whom it revokes.
        let refused = self.refusals.standing();
        critical.extend(refused.warnings());
        let mut warnings = critical.clone();
        warnings.extend(drift.iter().cloned());
        warnings.extend(upstreams.iter().filter_map(down));
        warnings.extend(upstreams.iter().filter_map(|server| self.around(server)));
        warnings.extend(links::warnings(&links));
        warnings.extend(missing.filter(|rules| !rules.critical).map(|rules| rules.text));
        warnings.extend(ends);
        warnings.extend((inventory.lost > 0).then(|| lost(inventory.lost)));
        let slots = self.listeners.slots();
        warnings.extend(slots.iter().filter_map(full));
        let (connections, routes) = (self.counts(&snapshot), self.routes());
        let current = self.current();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_secs: self.started.elapsed().as_secs(),
            ssl_mode: snapshot.mode.name(Spelling::Ssl).into(),
            tls_mode: snapshot.mode.name(Spelling::Tls).into(),
            generation: snapshot.generation,
            mode_since: rfc3339(current.mode_since),
            configured_mode: configured.name(spelling).into(),
            persisted_mode: current.persisted.as_ref().map(|persisted| persisted.mode.clone()),
            drift,
            routes,
            upstreams,
            links: links::statuses(&links),
            members: self.member_statuses(),
            redirect: self.redirect.rules(),
            bypass: shown(self.bypassing()),
            connections,
            slots: slots.into_iter().map(slot_status).collect(),
            certificates: certificates(&snapshot.tls),
            refused_rotation: refused.rotation,
            refused_reload: refused.reload,
            lease: lease_status(&current.lease),
            inventory,
            critical,
            warnings,
        }
    }

    /// The servers behind, as last probed.
    #[must_use]
    pub fn upstreams(&self) -> Vec<UpstreamStatus> {
        self.prober.status()
    }

    fn routes(&self) -> Vec<RouteStatus> {
        let mut routes = Vec::<RouteStatus>::new();
        for (name, address) in self.addresses() {
            match routes.iter_mut().find(|route| *route.name == *name) {
                Some(route) => route.listen.push(address.to_string()),
                None => routes.push(RouteStatus { name: name.to_string(), listen: vec![address.to_string()] }),
            }
        }
        routes
    }

    fn counts(&self, snapshot: &Snapshot) -> ConnectionCounts {
        let mut counts =
            ConnectionCounts { non_conforming: self.pending_non_conforming(), ..ConnectionCounts::default() };
        for open in self.observer.open_connections.list() {
            counts.open += 1;
            match (open.acceptance, open.opening) {
                (Acceptance::Outbound, _) => counts.outbound += 1,
                (Acceptance::Terminate | Acceptance::Passthrough, Opening::Plaintext) => counts.plaintext += 1,
                (Acceptance::Terminate | Acceptance::Passthrough, Opening::Tls | Opening::OldTls | Opening::Sslv2) => {
                    counts.tls += 1;
                }
            }
            counts.non_conforming += usize::from(self.misfit(&open, snapshot).is_some());
            counts.recycling += usize::from(open.recycling.is_requested());
        }
        counts
    }

    /// Whether the set advertises an address that leads around this proxy: the port of the server itself, where this
    /// proxy listens on others and no rules lead from the one to the others.
    fn around(&self, server: &UpstreamStatus) -> Option<String> {
        let me = server.me.as_ref().filter(|_| server.route == "inbound")?;
        let interception = self.interception();
        let own = interception.leads_around()?;
        let port = interception.listens.first().copied().unwrap_or_default();
        Some(format!(
            "the set advertises {}, the server's own port: drivers that find it there go around tlsramp. Let the set \
             advertise port {port} (rs.reconfig), or redirect what comes for {own} (tlsramp netfilter)",
            crate::text::printable(me)
        ))
    }
}

/// What some TLS files hold, ours first: the first few.
pub(crate) fn certificates(material: &Material) -> Vec<CertificateStatus> {
    in_force(material.items(), now_secs()).take(CERTIFICATES_SHOWN).filter_map(certificate).collect()
}

fn certificate(one: &TlsItem) -> Option<CertificateStatus> {
    let shown = |seconds: i64| rfc3339_millis(seconds.saturating_mul(1000));
    let ends = one.ends?;
    Some(CertificateStatus {
        role: one.role.to_string(),
        kind: one.kind.name().into(),
        file: one.path.display().to_string(),
        subject: one.subject.clone(),
        serial: one.serial.clone(),
        not_before: shown(one.begins),
        not_after: shown(ends),
        days_left: ends.saturating_sub(now_secs()).div_euclid(86_400),
    })
}

/// A line for each certificate, CA and revocation list that is over or has 30 days or less to go: those by which
/// connections fail now, and all others; with the latter, what the files lack.
pub(crate) fn expiry_warnings(material: &Material) -> (Vec<String>, Vec<String>) {
    let found = findings(material.items(), now_secs());
    let (critical, others): (Vec<_>, Vec<_>) = found.into_iter().partition(ValidityFinding::is_critical);
    let mut others = finding_lines(&others);
    others.extend(coverage_warnings(material.items()));
    (finding_lines(&critical), others)
}

pub(crate) fn now_secs() -> i64 {
    now_millis() / 1000
}

/// What is said of plaintext clients that the inventory has forgotten for want of room.
pub(crate) fn lost(count: u64) -> String {
    format!("{count} plaintext clients were seen within the window and forgotten, as the inventory is full")
}

fn slot_status((direction, usage): (&str, SlotUsage)) -> SlotStatus {
    let SlotUsage { limit, used, silent, waiting, full: _ } = usage;
    SlotStatus { direction: direction.into(), limit, used, silent, waiting }
}

fn full((direction, usage): &(&str, SlotUsage)) -> Option<String> {
    let SlotUsage { limit, used, silent, waiting, full } = *usage;
    let remedy = if *direction == "inbound" {
        "raise maxIncomingConnections, bound what one address takes (maxConnectionsPerIp), or close silent clients \
         (onSilence close)"
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

fn down(server: &UpstreamStatus) -> Option<String> {
    let UpstreamStatus { upstream, route, up, reason, checked, .. } = server;
    (!up && !checked.is_empty())
        .then(|| format!("{upstream} ({route}) is down: {}", reason.as_deref().unwrap_or("no reason known")))
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
