//! One server that is probed: the way to it, by the rules of its route, and what is known of it.

mod trial;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use rustls::pki_types::ServerName;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::sleep;

use super::hello::Hello;
use super::session::{Answer, Session};
use crate::config::Settings;
use crate::control::remedy::Peer;
use crate::control::time::rfc3339;
use crate::control::views::{OtherLink, UpstreamStatus};
use crate::limits::{PROBE_EVERY, PROBE_MEMBERS, Timeouts};
use crate::net::{HostPort, OwnDials, UpstreamAddress, is_own};
use crate::policy::{Acceptance, Link, Mode, Opening, Permit, judge};
use crate::route::{Route, RouteId, RouteTarget, Routes};
use crate::state::{Member, MemberList};
use crate::state::{Snapshot, SnapshotReader};
use crate::telemetry::{LinkFailure, LinkKey, RedirectedTo};
use crate::tls::PeerFault;
use crate::upstream::Upstream;

/// A server and the route to it.
#[derive(Debug)]
pub(crate) struct Target {
    route: Arc<Route>,
    upstream: Arc<Upstream>,
    /// The original destination of redirected connections to it.
    redirected: Option<SocketAddr>,
    /// Whether it is probed, and not only tried before a change of the mode.
    probed: bool,
    dials: OwnDials,
    times: Timeouts,
    /// Whether it is to be asked for a `hello`.
    asks: bool,
    seen: Mutex<Seen>,
    /// Whether it was ever answered as MongoDB does.
    speaks: AtomicBool,
    /// The policy has changed.
    pub(crate) changed: Notify,
    other: AsyncMutex<Option<Tried>>,
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
    fault: PeerFault,
    hello: Option<Hello>,
    other: Option<OtherLink>,
    other_fault: PeerFault,
}

/// The other kind of link, tried.
#[derive(Debug)]
struct Tried {
    at: Instant,
    generation: u64,
    link: Link,
    failed: Option<LinkFailure>,
}

/// What connections have found out of a server, beside its probe.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic {
    /// Connections to it that are open now.
    pub(crate) open: usize,
    /// Why the last dial failed, and when, in milliseconds since 1970: of a server that is still being dialled.
    pub(crate) failing: Option<(LinkFailure, i64)>,
}

/// A server whose link fails or works, as last seen.
#[derive(Debug)]
pub(crate) struct LinkSeen {
    pub(crate) route: RouteId,
    pub(crate) destination: Arc<str>,
    pub(crate) redirected: Option<SocketAddr>,
    pub(crate) names: Vec<ServerName<'static>>,
    pub(crate) link: Option<Link>,
    pub(crate) up: bool,
    /// In milliseconds since 1970; none: it is not probed, or not yet.
    pub(crate) checked: Option<i64>,
    pub(crate) failure: LinkFailure,
    /// What is wrong with the other kind of link, as last tried.
    pub(crate) other: PeerFault,
}

/// The members that redirected connections may go to, each by its first address: all but the own server.
fn others(settings: &Settings, roster: &MemberList) -> Vec<(HostPort, SocketAddr)> {
    let mut own = Vec::new();
    if let Some(inbound) = &settings.inbound {
        own.extend(inbound.binds.iter().map(SocketAddr::port));
        if let UpstreamAddress::Tcp(target) = &inbound.upstream {
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
    /// The servers that the routes lead to.
    pub(crate) fn all(settings: &Settings, routes: &Routes, roster: &MemberList, dials: &OwnDials) -> Vec<Target> {
        let servers = routes.inbound.iter().chain(&routes.outbound).filter_map(|route| match &route.target {
            RouteTarget::Upstream(upstream) => Some(Target::new(settings, dials, route, Arc::clone(upstream))),
            RouteTarget::OriginalDestination(_) => None,
        });
        let members = routes.transparent.iter().flat_map(|route| {
            others(settings, roster).into_iter().map(move |(name, address)| {
                let upstream = Upstream::address(name.to_string(), address, roster.names_at(address));
                let target = Target::new(settings, dials, route, Arc::new(upstream));
                Target { redirected: Some(address), ..target }
            })
        });
        servers.chain(members).collect()
    }

    /// A destination of redirected connections on the transparent route, whatever server is there.
    pub(crate) fn destination(
        settings: &Settings,
        route: &Arc<Route>,
        roster: &MemberList,
        to: RedirectedTo,
        dials: &OwnDials,
    ) -> Target {
        let upstream = Upstream::address(to.original.to_string(), to.dialled, roster.names_at(to.original));
        let target = Target::new(settings, dials, route, Arc::new(upstream));
        Target { redirected: Some(to.original), probed: false, ..target }
    }

    fn new(settings: &Settings, dials: &OwnDials, route: &Arc<Route>, upstream: Arc<Upstream>) -> Target {
        Target {
            route: Arc::clone(route),
            upstream,
            redirected: None,
            probed: true,
            dials: dials.clone(),
            times: settings.timeouts,
            asks: settings.admin.probe_upstreams,
            seen: Mutex::default(),
            speaks: AtomicBool::new(false),
            changed: Notify::new(),
            other: AsyncMutex::default(),
        }
    }

    /// Where redirected connections to it go, if they do.
    pub(crate) fn redirected(&self) -> Option<SocketAddr> {
        self.redirected
    }

    /// As records name it.
    pub(crate) fn key(&self) -> LinkKey {
        let upstream = || Arc::clone(&self.upstream.name);
        let destination = self.redirected.map_or_else(upstream, |address| address.to_string().into());
        LinkKey { route: self.route.id.clone(), destination }
    }

    /// Whether another leads to the same server by the same rules.
    pub(crate) fn same(&self, other: &Target) -> bool {
        let route = |target: &Target| (Arc::clone(&target.route), Arc::clone(&target.upstream), target.redirected);
        let terms = |target: &Target| (target.probed, target.times, target.asks);
        route(self) == route(other) && terms(self) == terms(other)
    }

    /// Probes it without end.
    pub(crate) async fn watch(self: Arc<Target>, snapshot: SnapshotReader) {
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
        let mut session = match self.open(permit, now).await {
            Ok(session) => session,
            Err(failure) => return self.note(Seen { link: Some(link), ..self.failed(failure) }),
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
                Answer::Refused(failure) => {
                    self.note(Seen { link: Some(link), tls_version, ..self.failed(failure) });
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

    fn failed(&self, failure: LinkFailure) -> Seen {
        let reason = self.in_words(&failure);
        Seen { reason: Some(reason), fault: failure.fault, ..Seen::default() }
    }

    /// Why its link cannot be made.
    fn in_words(&self, failure: &LinkFailure) -> String {
        match self.redirected {
            Some(address) => Peer { address, names: self.upstream.names() }.reason(&failure.text, &failure.fault),
            None => failure.text.clone(),
        }
    }

    fn note(&self, seen: Seen) {
        let mut last = self.seen();
        let before = last.checked.map(|_| last.up);
        let (other, other_fault) = (last.other.take(), std::mem::take(&mut last.other_fault));
        if before != Some(seen.up) {
            let (upstream, route, reason) = (&*self.upstream.name, &*self.route.id.name(), seen.reason.as_deref());
            if seen.up {
                tracing::info!(route, upstream, reason, "upstream is up");
            } else {
                tracing::warn!(route, upstream, reason, "upstream is down");
            }
        }
        *last = Seen { checked: Some(SystemTime::now()), other, other_fault, ..seen };
    }

    pub(crate) async fn open(&self, permit: Permit, snapshot: &Snapshot) -> Result<Session, LinkFailure> {
        let note = |local, remote| self.dials.note(local, remote, self.route.acceptance);
        Session::open(permit, &self.upstream, &snapshot.tls, self.times, note).await
    }

    /// Leave to make the link that the route would make in a mode, by the judge's own rules: for the plaintext
    /// opening where it is admitted, else for TLS.
    fn permit(&self, mode: Mode) -> Option<Permit> {
        [Opening::Plaintext, Opening::Tls]
            .into_iter()
            .find_map(|opening| judge(mode, self.route.acceptance, self.route.link_rule, opening).ok())
    }

    /// Its link as last seen, if it is a server of an outbound route.
    pub(crate) fn link(&self) -> Option<LinkSeen> {
        if self.route.acceptance != Acceptance::Outbound {
            return None;
        }
        let (LinkKey { route, destination }, seen) = (self.key(), self.seen().clone());
        Some(LinkSeen {
            route,
            destination,
            redirected: self.redirected,
            names: self.upstream.names().to_vec(),
            link: seen.link,
            up: seen.up,
            checked: seen.checked.map(millis),
            failure: LinkFailure { text: seen.reason.unwrap_or_default(), fault: seen.fault },
            other: seen.other_fault,
        })
    }

    /// What is known of it.
    pub(crate) fn status(&self) -> UpstreamStatus {
        let seen = self.seen().clone();
        let hello = seen.hello.unwrap_or_default();
        UpstreamStatus {
            route: self.route.id.to_string(),
            upstream: self.upstream.name.to_string(),
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

fn millis(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
