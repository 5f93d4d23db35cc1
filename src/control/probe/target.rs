//! One server that is probed: the way to it, by the rules of its route, and what is known of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::sleep;

use super::Unreachable;
use super::hello::Hello;
use super::session::{Answer, Session};
use crate::config::{Inbound, Outbound, Settings};
use crate::control::time::rfc3339;
use crate::control::views::{OtherLink, UpstreamStatus};
use crate::limits::{OTHER_LINK_AGAIN, PROBE_EVERY, PROBE_MEMBERS, Timeouts};
use crate::members::{Member, Roster};
use crate::net::{HostPort, Upstream, is_own};
use crate::policy::{Acceptance, Link, LinkRule, Mode, Opening, Permit, judge};
use crate::snapshot::{Reader, Snapshot};
use crate::upstream::Way;

/// A server and the route to it.
#[derive(Debug)]
pub(super) struct Target {
    origin: Origin,
    route: String,
    upstream: String,
    way: Way,
    acceptance: Acceptance,
    rule: LinkRule,
    times: Timeouts,
    /// Whether it is to be asked for a `hello`.
    asks: bool,
    seen: Mutex<Seen>,
    /// Whether it was ever answered as MongoDB does.
    speaks: AtomicBool,
    /// The policy has changed.
    pub(super) changed: Notify,
    other: AsyncMutex<Option<Tried>>,
}

/// What it was made from: the same again is the same target.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    Inbound(Inbound),
    Outbound(Outbound),
    /// A member that redirected connections go to, at one of its addresses.
    Member(HostPort, SocketAddr),
}

/// What the last probe has seen.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// Whether there was one.
    checked: Option<SystemTime>,
    up: bool,
    link: Option<Link>,
    tls_version: Option<&'static str>,
    reason: Option<String>,
    hello: Option<Hello>,
    other: Option<OtherLink>,
}

/// The other kind of link, tried.
#[derive(Debug)]
struct Tried {
    at: Instant,
    generation: u64,
    link: Link,
    failed: Option<String>,
}

/// The members that redirected connections may go to, each by its first address: all but the own server.
fn others(settings: &Settings, roster: &Roster) -> Vec<(HostPort, SocketAddr)> {
    let mut own = Vec::new();
    if let Some(inbound) = &settings.inbound {
        own.extend(inbound.binds.iter().map(SocketAddr::port));
        if let Upstream::Tcp(target) = &inbound.upstream {
            own.push(target.port);
        }
    }
    let other = |member: &&Member| !own.contains(&member.name.port) || !member.addresses.iter().any(|ip| is_own(*ip));
    let addressed = |member: &Member| {
        let ip = member.addresses.first()?;
        Some((member.name.clone(), SocketAddr::new(*ip, member.name.port)))
    };
    roster.members().iter().filter(other).filter_map(addressed).take(PROBE_MEMBERS).collect()
}

impl Target {
    /// The servers of some settings. A name that no certificate bears has no way, and was refused at start.
    pub(super) fn all(settings: &Settings, roster: &Roster) -> Vec<Target> {
        let inbound = settings.inbound.iter().filter_map(|inbound| {
            let way = match &inbound.upstream {
                Upstream::Unix(path) => Way::Unix(path.clone()),
                Upstream::Tcp(target) => Way::tcp(target, &target.host, inbound.source).ok()?,
            };
            let origin = Origin::Inbound(inbound.clone());
            Some((origin, "inbound".to_owned(), inbound.upstream.to_string(), way, inbound.acceptance, inbound.link))
        });
        let outbound = settings.outbound.iter().filter_map(|outbound| {
            let way = Way::tcp(&outbound.target, &outbound.name, None).ok()?;
            let (origin, target) = (Origin::Outbound(outbound.clone()), outbound.target.to_string());
            Some((origin, format!("outbound {target}"), target, way, Acceptance::Outbound, LinkRule::Policy))
        });
        let others = if settings.transparent.is_some() { others(settings, roster) } else { Vec::new() };
        let members = others.into_iter().map(|(name, address)| {
            let (upstream, way) = (name.to_string(), Way::address(address, roster.names_at(address)));
            let origin = Origin::Member(name, address);
            (origin, "outbound transparent".to_owned(), upstream, way, Acceptance::Outbound, LinkRule::Policy)
        });
        let made = |(origin, route, upstream, way, acceptance, rule)| Target {
            origin,
            route,
            upstream,
            way,
            acceptance,
            rule,
            times: settings.timeouts,
            asks: settings.admin.probe_upstreams,
            seen: Mutex::default(),
            speaks: AtomicBool::new(false),
            changed: Notify::new(),
            other: AsyncMutex::default(),
        };
        inbound.chain(outbound).chain(members).map(made).collect()
    }

    /// Whether another leads to the same server by the same rules.
    pub(super) fn same(&self, other: &Target) -> bool {
        self.origin == other.origin && self.times == other.times && self.asks == other.asks
    }

    /// Probes it without end.
    pub(super) async fn watch(self: Arc<Target>, snapshot: Reader) {
        loop {
            let now = snapshot.load();
            self.probe(&now).await;
            // A change of the policy may have made another link of it: at once then, else after a while.
            if snapshot.load().generation == now.generation {
                tokio::select! {
                    () = sleep(PROBE_EVERY) => {}
                    () = self.changed.notified() => {}
                }
            }
        }
    }

    /// One connection, for as long as it stands and the policy stays as it is.
    async fn probe(&self, now: &Snapshot) {
        let Some(permit) = self.permit(now.mode) else { return };
        let link = permit.link();
        let mut session = match Session::open(permit, &self.way, &now.tls, self.times).await {
            Ok(session) => session,
            Err(reason) => {
                self.note(Seen { link: Some(link), reason: Some(reason), ..Seen::default() });
                return;
            }
        };
        let tls_version = session.tls_version;
        loop {
            // What is not ours to speak on is only connected to.
            let answer = if link == Link::Untouched {
                Answer::Strange("TLS of its own: only connected to".into())
            } else {
                session.hello().await
            };
            let seen = Seen { up: true, link: Some(link), tls_version, ..Seen::default() };
            match answer {
                Answer::Hello(hello) => {
                    self.speaks.store(true, Ordering::Relaxed);
                    self.note(Seen { hello: Some(hello), ..seen });
                }
                Answer::Strange(reason) => {
                    // One that has answered as MongoDB does once, and does not now, is not well.
                    let up = !self.speaks.load(Ordering::Relaxed);
                    self.note(Seen { up, reason: Some(reason), ..seen });
                    return session.close().await;
                }
                Answer::Closed(reason) => {
                    self.note(Seen { up: false, reason: Some(reason), ..seen });
                    return;
                }
            }
            tokio::select! {
                () = session.ended() => return,
                () = sleep(PROBE_EVERY) => {}
                () = self.changed.notified() => return session.close().await,
            }
        }
    }

    fn note(&self, seen: Seen) {
        let mut last = self.seen();
        let (before, other) = (last.checked.map(|_| last.up), last.other.take());
        if before != Some(seen.up) {
            let (upstream, route, reason) = (&*self.upstream, &*self.route, seen.reason.as_deref());
            if seen.up {
                tracing::info!(route, upstream, reason, "upstream is up");
            } else {
                tracing::warn!(route, upstream, reason, "upstream is down");
            }
        }
        *last = Seen { checked: Some(SystemTime::now()), other, ..seen };
    }

    /// Why a mode would not reach it, if so.
    pub(super) async fn unreachable(&self, to: Mode, snapshot: &Snapshot) -> Option<Unreachable> {
        let permit = self.permit(to)?;
        let link = permit.link();
        let in_use = self.permit(snapshot.mode).map(|permit| permit.link());
        let (up, now_reason) = {
            let seen = self.seen();
            (seen.up || seen.checked.is_none(), seen.reason.clone())
        };
        let (failed, by_the_change) = if in_use == Some(link) {
            // The link in use says how it is, and the change does not touch it.
            ((!up).then(|| now_reason.unwrap_or_default()), false)
        } else {
            (self.try_other(permit, snapshot).await, up)
        };
        let found = |reason| Unreachable {
            upstream: self.upstream.clone(),
            route: self.route.clone(),
            link,
            reason,
            by_the_change,
        };
        failed.map(found)
    }

    /// Tries the kind of link that is not in use; at most once a minute for one snapshot. Why it failed, if so.
    async fn try_other(&self, permit: Permit, snapshot: &Snapshot) -> Option<String> {
        let link = permit.link();
        let mut other = self.other.lock().await;
        let fresh = other.as_ref().filter(|tried| {
            tried.link == link && tried.generation == snapshot.generation && tried.at.elapsed() < OTHER_LINK_AGAIN
        });
        if let Some(tried) = fresh {
            let seconds = tried.at.elapsed().as_secs();
            return tried
                .failed
                .as_ref()
                .map(|reason| format!("{reason} (tried {seconds} s ago; once a minute at most)"));
        }
        let failed = match Session::open(permit, &self.way, &snapshot.tls, self.times).await {
            Err(reason) => Some(reason),
            Ok(mut session) => {
                let asks = link != Link::Untouched && self.asks;
                let answer = if asks { Some(session.hello().await) } else { None };
                session.close().await;
                match answer {
                    Some(Answer::Closed(reason)) => Some(reason),
                    Some(Answer::Hello(_) | Answer::Strange(_)) | None => None,
                }
            }
        };
        *other = Some(Tried { at: Instant::now(), generation: snapshot.generation, link, failed: failed.clone() });
        self.seen().other = Some(OtherLink {
            link: link.name().into(),
            up: failed.is_none(),
            reason: failed.clone(),
            checked: rfc3339(SystemTime::now()),
        });
        failed
    }

    /// Leave to make the link that the route would make in a mode, by the judge's own rules: for the plaintext
    /// opening where it is admitted, else for TLS.
    fn permit(&self, mode: Mode) -> Option<Permit> {
        [Opening::Plaintext, Opening::Tls]
            .into_iter()
            .find_map(|opening| judge(mode, self.acceptance, self.rule, opening).ok())
    }

    /// What is known of it.
    pub(super) fn status(&self) -> UpstreamStatus {
        let seen = self.seen().clone();
        let hello = seen.hello.unwrap_or_default();
        UpstreamStatus {
            route: self.route.clone(),
            upstream: self.upstream.clone(),
            up: seen.up,
            link: seen.link.map(Link::name).unwrap_or_default().into(),
            tls_version: seen.tls_version.map(Into::into),
            reason: seen.reason,
            checked: seen.checked.map(rfc3339).unwrap_or_default(),
            set_name: hello.set_name,
            me: hello.me,
            hosts: hello.hosts,
            state: (!hello.state.is_empty()).then(|| hello.state.into()),
            other: seen.other,
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
