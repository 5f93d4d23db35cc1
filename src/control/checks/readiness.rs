//! The effects of a change of mode: servers that would be unreachable, clients that would be refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::bypass::{bypass_blockers, look_for_bypass};
use super::tls_files::servable;
use crate::config::Settings;
use crate::control::answer_limit::AnswerSize;
use crate::control::blocker::{Blocker, BlockerKind};
use crate::control::blocking::blocking;
use crate::control::change::ChangeError;
use crate::control::links::dialled;
use crate::control::probe::Unreachable;
use crate::control::remedy::STEP_UP;
use crate::control::view::View;
use crate::limits::BLOCKERS_SHOWN;
use crate::policy::{Link, Mode};
use crate::route::{RouteId, Routes};
use crate::state::Snapshot;
use crate::telemetry::{BlockingClient, Observer, now_millis};
use crate::text::{printable, rfc3339_millis};
use crate::tls::PeerFault;

/// The blockers of a mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// The mode in force.
    pub mode: Mode,
    /// The requested mode.
    pub to: Mode,
    /// The blockers; empty if nothing would break.
    pub blockers: Vec<Blocker>,
}

/// The blockers of a mode, even one that is not the next on the ladder.
pub async fn readiness(view: &View, to: Mode) -> Readiness {
    let (mode, _) = view.mode();
    let mut blockers = blockers(view, to).await;
    if let Err(refused) = servable(to, &view.loaded().settings, &view.snapshot().tls) {
        blockers.push(Blocker {
            kind: BlockerKind::Unservable,
            fatal: true,
            text: refused.to_string(),
            remedy: "provide the missing files, and reload".into(),
            ..Blocker::default()
        });
    }
    Readiness { mode, to, blockers }
}

/// The blockers of a change to a mode.
pub(crate) async fn blockers(view: &View, to: Mode) -> Vec<Blocker> {
    // Scan first: `dialled` below needs the result of the scan, which finds connections older than the redirect.
    look_for_bypass(view).await;
    let (loaded, members, dialled) = (view.loaded(), view.members(), dialled(view));
    let unreachable = view.prober().unreachable(to, (&loaded.settings, &view.routes()), &members, &dialled).await;
    found(view, to, unreachable).await
}

/// The blockers of a change to a mode, under settings and a snapshot that are not in force yet.
pub(crate) async fn blockers_by(
    view: &View,
    to: Mode,
    by: (&Settings, &Routes),
    coming: Arc<Snapshot>,
) -> Vec<Blocker> {
    let unreachable = view.prober().unreachable_by(by, &view.members(), to, coming, &dialled(view)).await;
    found(view, to, unreachable).await
}

async fn found(view: &View, to: Mode, unreachable: Vec<Unreachable>) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    for server in unreachable {
        // If a server is unreachable by its present link already, it blocks this change only if the new mode dials
        // servers by TLS and the link to this server is TLS.
        if server.by_the_change || (server.link == Link::Tls && to.dials_tls()) {
            blockers.push(upstream(server, to));
        }
    }
    let (window, observer) = (view.loaded().settings.admin.guard_window, Arc::clone(view.observer()));
    let permit = view.answers().acquire(AnswerSize::Summary).await;
    let clients = blocking(move || {
        let clients = clients(&observer, to, window);
        drop(permit);
        clients
    });
    // A failed check is a blocker too.
    blockers.extend(clients.await.unwrap_or_else(|error| vec![not_looked(&error)]));
    blockers.extend(bypass_blockers(view, to));
    bound(&mut blockers);
    blockers
}

/// The clients that a mode would refuse.
fn clients(observer: &Observer, to: Mode, window: Duration) -> Vec<Blocker> {
    let (inventory, now, mut blockers) = (&observer.inventory, now_millis(), Vec::new());
    if !to.accepts_plaintext() {
        blockers.extend(observer.plaintext_blockers(window, now).iter().map(|client| refused(client, false)));
        let (count, open) = (inventory.lost(now), inventory.unlisted().0);
        if (count > 0 && !window.is_zero()) || open > 0 {
            blockers.push(Blocker {
                kind: BlockerKind::InventoryLost,
                text: lost_clients(count.max(open)),
                remedy: "search the log for plaintext clients, or shorten --guardWindow".into(),
                open: (open > 0).then_some(open),
                ..Blocker::default()
            });
        }
    }
    if !to.accepts_tls() {
        blockers.extend(inventory.tls_blockers(window, now).iter().map(|client| refused(client, true)));
    }
    blockers
}

fn not_looked(error: &ChangeError) -> Blocker {
    Blocker {
        kind: BlockerKind::InventoryLost,
        text: format!("the clients could not be checked: {error}"),
        remedy: "try again; if the error persists, restart tlsramp".into(),
        ..Blocker::default()
    }
}

/// Bounds the list. Fatal blockers come first, then the first blocker of each address, then the rest, so that an
/// address with many client names does not hide other addresses.
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
            kind: BlockerKind::More,
            text: format!("and {more} more"),
            remedy: "`tlsramp ctl clients` lists all".into(),
            ..Blocker::default()
        });
    }
}

fn upstream(server: Unreachable, to: Mode) -> Blocker {
    let Unreachable { upstream, route, link, reason, fault, remedy, by_the_change, bypasses, open } = server;
    let (kind, usual) = match (link, by_the_change) {
        (Link::Tls, _) if fault == PeerFault::TlsDisabled => ("TLS", STEP_UP),
        (Link::Tls, _) if bypasses => (
            "TLS",
            "enable TLS on that server, with a certificate for its name; if the rules do not redirect connections to \
             it, ignore this blocker",
        ),
        (Link::Tls, true) if route == RouteId::Inbound => (
            "TLS",
            "enable TLS on that server; if it is on this host and will never have TLS, set upstreamTLS to never and \
             restart",
        ),
        (Link::Tls, true) => ("TLS", "enable TLS on that server, with a certificate for the name that is dialled"),
        (Link::Tls, false) => ("TLS", "check that server: it cannot be reached in the present mode either"),
        (Link::Plaintext | Link::Untouched, _) => ("plaintext", "make that server accept plaintext again first"),
    };
    let gone = if open == Some(0) { NOT_CONNECTED } else { "" };
    Blocker {
        kind: BlockerKind::Upstream,
        fatal: by_the_change,
        text: if bypasses {
            format!(
                "connections to {upstream} were made before the redirect and bypass tlsramp; new ones will pass \
                 through tlsramp, which in {to} uses {kind} for them, and an attempt failed: {reason}"
            )
        } else {
            format!("in {to}, connections to {upstream} ({route}) use {kind}, which fails: {reason}")
        },
        remedy: remedy.unwrap_or_else(|| usual.into()) + gone,
        address: Some(upstream),
        open: open.and_then(|open| u64::try_from(open).ok()),
        ..Blocker::default()
    }
}

/// Added to the remedy for a destination that was dialled within the guard window and has no connection now.
const NOT_CONNECTED: &str = "; no connection to it is open: if it is no longer used, wait until --guardWindow has \
     passed, or shorten --guardWindow";

fn refused(client: &BlockingClient, by_tls: bool) -> Blocker {
    let BlockingClient { identity, open, last_seen, .. } = client;
    let (name, ip, last_seen) = (name(client), identity.ip, rfc3339_millis(*last_seen));
    let (how, remedy) = match (by_tls, identity.is_member()) {
        (false, false) if identity.is_many() => ("without TLS", MANY),
        (false, false) if !identity.is_named() => ("without TLS", NAMELESS),
        (false, false) => (
            "without TLS",
            "move the client to TLS and recycle its old connections; or, if it may be refused, accept it by its key",
        ),
        (false, true) => ("without TLS", "step that member up to preferSSL, then recycle its old connections"),
        _ if !identity.is_named() => {
            ("by TLS", "move the client back to plaintext, and wait until --guardWindow has passed")
        }
        _ => ("by TLS", "move the client back to plaintext first"),
    };
    let text = match open {
        0 => format!("{name} at {ip} connected {how}, last seen {last_seen}"),
        1 => format!("{name} at {ip} is connected {how}"),
        open => format!("{name} at {ip} is connected {how}, {open} times"),
    };
    Blocker {
        kind: match (by_tls, *open > 0) {
            (false, true) => BlockerKind::PlaintextOpen,
            (false, false) => BlockerKind::PlaintextSeen,
            (true, true) => BlockerKind::TlsOpen,
            (true, false) => BlockerKind::TlsSeen,
        },
        text,
        remedy: remedy.into(),
        client: Some(client.clone()),
        address: Some(ip.to_string()),
        open: Some(*open),
        ..Blocker::default()
    }
}

/// The remedy for the clients of an address that has used more names than are kept.
const MANY: &str = "check the clients at that address: they may be a scanner, or many hosts behind NAT; accept all of \
     them by the key of this row, or wait until --guardWindow has passed";

/// The remedy for a client without a name.
const NAMELESS: &str = "move the client to TLS and recycle its old connections; it sends no name, so tlsramp cannot \
     see that it has moved: accept it by its key afterwards, or wait until --guardWindow has passed";

/// The client's application and driver, as far as known.
fn name(client: &BlockingClient) -> String {
    if let Some(names) = client.more_names {
        let what = if client.identity.is_member() { "members" } else { "applications" };
        return format!("a group of about {names} {what}");
    }
    let what = if client.identity.is_member() { "member" } else { "application" };
    let driver = client.driver().as_deref().map(printable);
    match (client.identity.application.as_deref().map(printable), driver) {
        (Some(application), Some(driver)) => format!("{what} {application} ({driver})"),
        (Some(application), None) => format!("{what} {application}"),
        (None, Some(driver)) => format!("an unnamed {what} ({driver})"),
        (None, None) if client.identity.is_member() => "an unknown member".into(),
        (None, None) => "an unknown client".into(),
    }
}

/// The warning about plaintext clients without a row, because the inventory was full.
pub(crate) fn lost_clients(count: u64) -> String {
    format!("{count} plaintext clients were seen within the guard window, but the inventory had no room for their rows")
}
