//! What a change of mode would hurt: servers that it could not reach, clients that it would turn away. Each finding
//! says who, and what to do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::change::ChangeError;
use super::controller::{Controller, blocking, servable};
use super::probe::Unreachable;
use super::readers::Size;
use super::remedy::STEP_UP;
use super::status::lost;
use super::time::rfc3339_millis;
use super::views::{Blocker, Ready};
use crate::config::Settings;
use crate::limits::BLOCKERS_SHOWN;
use crate::policy::{Link, Mode, Spelling};
use crate::route::{RouteId, Routes};
use crate::state::Snapshot;
use crate::telemetry::{BlockingClient, Observer, now_millis};
use crate::text::printable;
use crate::tls::PeerFault;

impl Controller {
    /// What stands in the way of a mode, whether or not the ladder leads there now.
    pub async fn ready(&self, to: Mode, spelling: Spelling) -> Ready {
        let (mode, _) = self.mode();
        let mut blockers = self.blockers(to).await;
        if let Err(refused) = servable(to, &self.loaded().settings, &self.snapshot().tls) {
            blockers.push(Blocker {
                kind: "unservable".into(),
                fatal: true,
                text: refused.to_string(),
                remedy: "give the files that are missing, and reload".into(),
                ..Blocker::default()
            });
        }
        let ready = blockers.is_empty();
        Ready { mode: mode.name(spelling).into(), to: to.name(spelling).into(), ready, blockers }
    }

    pub(crate) async fn blockers(&self, to: Mode) -> Vec<Blocker> {
        // First: it says which connections are older than the redirect.
        self.look_for_bypass().await;
        let (settings, routes) = (self.settings(), self.routes_in_force());
        let (roster, dialled) = (self.roster(), self.dialled());
        let unreachable = self.prober.unreachable(to, &settings, &routes, &roster, &dialled).await;
        self.found(to, unreachable).await
    }

    /// The same, for settings and a snapshot that are not in force yet.
    pub(crate) async fn blockers_coming(
        &self,
        to: Mode,
        settings: &Settings,
        routes: &Routes,
        coming: Arc<Snapshot>,
    ) -> Vec<Blocker> {
        let unreachable =
            self.prober.unreachable_by(settings, routes, &self.roster(), to, coming, &self.dialled()).await;
        self.found(to, unreachable).await
    }

    async fn found(&self, to: Mode, unreachable: Vec<Unreachable>) -> Vec<Blocker> {
        let mut blockers = Vec::new();
        for server in unreachable {
            // A server that is down by the link in use is no matter of this change, unless the change counts on TLS.
            if server.by_the_change || (server.link == Link::Tls && to.dials_tls()) {
                blockers.push(upstream(server, to));
            }
        }
        let (window, observer) = (self.loaded().settings.admin.guard_window, Arc::clone(&self.observer));
        let turn = self.readers.turn(Size::Summary).await;
        let clients = blocking(move || {
            let clients = clients(&observer, to, window);
            drop(turn);
            clients
        });
        // What could not be looked at is not passed over.
        blockers.extend(clients.await.unwrap_or_else(|error| vec![not_looked(&error)]));
        blockers.extend(self.around_blockers(to));
        bound(&mut blockers);
        blockers
    }
}

/// The clients that a mode would turn away.
fn clients(observer: &Observer, to: Mode, window: Duration) -> Vec<Blocker> {
    let (inventory, now, mut blockers) = (&observer.inventory, now_millis(), Vec::new());
    if !to.accepts_plaintext() {
        blockers.extend(observer.plaintext_blockers(window, now).iter().map(|client| turned_away(client, "plaintext")));
        let (count, open) = (inventory.lost(now), inventory.unlisted().0);
        if (count > 0 && !window.is_zero()) || open > 0 {
            blockers.push(Blocker {
                kind: "inventoryLost".into(),
                text: lost(count.max(open)),
                remedy: "look at the log for plaintext clients, or shorten --guardWindow".into(),
                open: (open > 0).then_some(open),
                ..Blocker::default()
            });
        }
    }
    if !to.accepts_tls() {
        blockers.extend(inventory.tls_blockers(window, now).iter().map(|client| turned_away(client, "tls")));
    }
    blockers
}

fn not_looked(error: &ChangeError) -> Blocker {
    Blocker {
        kind: "inventoryLost".into(),
        text: format!("the clients could not be looked through: {error}"),
        remedy: "ask again; if it stays so, restart tlsramp".into(),
        ..Blocker::default()
    }
}

/// Cuts the list to what a person may read, and says how many more there are. Those that refuse come first; of the
/// others, each address has its first before any has its second, so that one with many names does not hide the rest.
fn bound(blockers: &mut Vec<Blocker>) {
    let more = blockers.len().saturating_sub(BLOCKERS_SHOWN);
    if more > 0 {
        let mut seen = HashMap::<Option<String>, usize>::new();
        let mut ranked: Vec<_> = std::mem::take(blockers)
            .into_iter()
            .map(|blocker| {
                let rank = seen.entry(blocker.client.as_ref().and(blocker.address.clone())).or_default();
                *rank += usize::from(blocker.client.is_some());
                ((!blocker.fatal, *rank), blocker)
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        blockers.extend(ranked.into_iter().take(BLOCKERS_SHOWN).map(|(_, blocker)| blocker));
        blockers.push(Blocker {
            kind: "more".into(),
            text: format!("and {more} more"),
            remedy: "tlsramp ctl clients lists all".into(),
            ..Blocker::default()
        });
    }
}

fn upstream(server: Unreachable, to: Mode) -> Blocker {
    let Unreachable { upstream, route, link, reason, fault, remedy, by_the_change, around, open } = server;
    let (kind, usual) = match (link, by_the_change) {
        (Link::Tls, _) if fault == PeerFault::TlsDisabled => ("TLS", STEP_UP),
        (Link::Tls, _) if around => (
            "TLS",
            "give that server TLS and a certificate for its name; a server that the rules do not redirect to is not concerned",
        ),
        (Link::Tls, true) if route == RouteId::Inbound => (
            "TLS",
            "give that server TLS, or, if it is on this host and never will have any, set upstreamTLS to never and restart",
        ),
        (Link::Tls, true) => ("TLS", "give that server TLS and a certificate for the name that is dialled"),
        (Link::Tls, false) => ("TLS", "look at that server: it cannot be reached now either"),
        (Link::Plaintext | Link::Untouched, _) => ("plaintext", "let that server take plaintext again first"),
    };
    let gone = if open == Some(0) { NOT_CONNECTED } else { "" };
    Blocker {
        kind: "upstream".into(),
        fatal: by_the_change,
        text: if around {
            format!(
                "{to} reaches {upstream} by {kind} once its connections, which are older than the redirect, are made anew, \
                 and that fails: {reason}"
            )
        } else {
            format!("{to} reaches {upstream} ({route}) by {kind}, and that fails: {reason}")
        },
        remedy: remedy.unwrap_or_else(|| usual.into()) + gone,
        address: Some(upstream),
        open: open.and_then(|open| u64::try_from(open).ok()),
        ..Blocker::default()
    }
}

/// What to do about a destination that was dialled lately, where that was for the last time.
const NOT_CONNECTED: &str =
    "; it is not connected to now: if it is no longer wanted, let --guardWindow pass, or shorten it";

fn turned_away(client: &BlockingClient, kind: &str) -> Blocker {
    let BlockingClient { identity, driver_version, more_names, open, last_seen } = client;
    let (name, ip, key, last_seen) = (name(client), identity.ip, identity.text(), rfc3339_millis(*last_seen));
    let (how, remedy) = match (kind, identity.is_member()) {
        ("plaintext", false) if identity.is_many() => ("without TLS", MANY),
        ("plaintext", false) if !identity.is_named() => ("without TLS", NAMELESS),
        ("plaintext", false) => {
            ("without TLS", "move it to TLS and recycle what is left, or accept by name that it is refused")
        }
        ("plaintext", true) => {
            ("without TLS", "bring that member to preferSSL or beyond, then recycle its old connections")
        }
        _ if !identity.is_named() => ("by TLS", "move it back to plaintext, and let --guardWindow pass"),
        _ => ("by TLS", "move it back to plaintext first"),
    };
    let text = match open {
        0 => format!("{name} at {ip} connected {how}, last seen {last_seen}"),
        1 => format!("{name} at {ip} is connected {how}"),
        open => format!("{name} at {ip} is connected {how}, {open} times"),
    };
    Blocker {
        kind: format!("{kind}{}", if *open > 0 { "Open" } else { "Seen" }),
        text,
        remedy: remedy.into(),
        // Nobody is accepted for `disabled`: there is no way back but by moving.
        key: (kind == "plaintext").then(|| key.clone()),
        client: Some(key),
        member: identity.is_member(),
        more_names: *more_names,
        application: identity.application.clone(),
        driver: driver(identity.driver.as_deref(), driver_version.as_deref()),
        address: Some(ip.to_string()),
        open: Some(*open),
        last_seen: Some(last_seen),
        ..Blocker::default()
    }
}

/// What to do about the clients of an address that has used more names than are kept.
const MANY: &str = "look at what connects from there: a scanner, or many hosts behind one address; accept all of them by this key, or \
                    let --guardWindow pass";

/// What to do about a client that says nothing of itself.
const NAMELESS: &str = "move it to TLS and recycle what is left; nothing shows that it has moved, since it sends no name: then accept it \
                        by its key, or let --guardWindow pass";

/// Who it is, as well as that is known.
fn name(client: &BlockingClient) -> String {
    if let Some(names) = client.more_names {
        let what = if client.identity.is_member() { "members" } else { "applications" };
        return format!("a group of {what} with about {names} further names");
    }
    let what = if client.identity.is_member() { "member" } else { "application" };
    let driver = driver(client.identity.driver.as_deref(), client.driver_version.as_deref());
    let driver = driver.as_deref().map(printable);
    match (client.identity.application.as_deref().map(printable), driver) {
        (Some(application), Some(driver)) => format!("{what} {application} ({driver})"),
        (Some(application), None) => format!("{what} {application}"),
        (None, Some(driver)) => format!("a nameless {what} ({driver})"),
        (None, None) if client.identity.is_member() => "an unknown member".into(),
        (None, None) => "an unknown client".into(),
    }
}

fn driver(name: Option<&str>, version: Option<&str>) -> Option<String> {
    match (name?, version) {
        (name, Some(version)) => Some(format!("{name} {version}")),
        (name, None) => Some(name.to_owned()),
    }
}
