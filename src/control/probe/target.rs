//! A server that is probed by the rules of its route, and the last results.

mod trial;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::sleep;

use super::hello::HelloReply;
use super::results::{LinkSeen, OtherLinkResult, ServerStatus};
use super::session::{HelloOutcome, ProbeSession};
use crate::config::Settings;
use crate::control::remedy::RedirectedServer;
use crate::limits::{PROBE_EVERY, PROBE_MEMBERS, Timeouts};
use crate::net::{HostPort, OwnDials, UpstreamAddress, is_own};
use crate::policy::{Acceptance, Link, Mode, Permit, route_permit};
use crate::route::{Route, RouteTarget, Routes};
use crate::state::{Member, MemberList, Snapshot, SnapshotReader};
use crate::telemetry::{LinkFailure, LinkKey, RedirectedTo};
use crate::tls::PeerFault;
use crate::upstream::Upstream;

/// A server and the route to it.
#[derive(Debug)]
pub(crate) struct ProbeTarget {
    route: Arc<Route>,
    upstream: Arc<Upstream>,
    /// The original destination of the server's redirected connections.
    redirected: Option<SocketAddr>,
    /// Whether the server is probed; otherwise it is only tried before a change of mode.
    probed: bool,
    dials: OwnDials,
    times: Timeouts,
    /// Whether `hello` is sent to the server (`--upstreamProbe`).
    asks: bool,
    seen: Mutex<ProbeResult>,
    /// Whether the server has ever answered as MongoDB does.
    speaks: AtomicBool,
    /// Notified when the policy has changed.
    pub(crate) changed: Notify,
    other: AsyncMutex<Option<OtherLinkTrial>>,
}

/// The result of the last probe.
#[derive(Debug, Clone, Default)]
struct ProbeResult {
    checked: Option<SystemTime>,
    up: bool,
    link: Option<Link>,
    tls_version: Option<&'static str>,
    reason: Option<String>,
    fault: PeerFault,
    hello: Option<HelloReply>,
    other: Option<OtherLinkResult>,
    other_fault: PeerFault,
}

/// The last trial of the other kind of link.
#[derive(Debug)]
struct OtherLinkTrial {
    at: Instant,
    generation: u64,
    link: Link,
    failed: Option<LinkFailure>,
}

/// The members to which redirected connections may lead, each by its first address: all except the fronted server.
fn others(settings: &Settings, members: &MemberList) -> Vec<(HostPort, SocketAddr)> {
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
    members.members().iter().filter(other).filter_map(addressed).take(PROBE_MEMBERS).collect()
}

impl ProbeTarget {
    /// The servers that the routes lead to.
    pub(crate) fn all(
        settings: &Settings,
        routes: &Routes,
        members: &MemberList,
        dials: &OwnDials,
    ) -> Vec<ProbeTarget> {
        let servers = routes.inbound.iter().chain(&routes.outbound).filter_map(|route| match &route.target {
            RouteTarget::Upstream(upstream) => Some(ProbeTarget::new(settings, dials, route, Arc::clone(upstream))),
            RouteTarget::OriginalDestination(_) => None,
        });
        let redirected = routes.transparent.iter().flat_map(|route| {
            others(settings, members).into_iter().map(move |(name, address)| {
                let upstream = Upstream::address(name.to_string(), address, members.names_at(address));
                let target = ProbeTarget::new(settings, dials, route, Arc::new(upstream));
                ProbeTarget { redirected: Some(address), ..target }
            })
        });
        servers.chain(redirected).collect()
    }

    /// A destination of redirected connections on the transparent route.
    pub(crate) fn destination(
        settings: &Settings,
        route: &Arc<Route>,
        members: &MemberList,
        to: RedirectedTo,
        dials: &OwnDials,
    ) -> ProbeTarget {
        let upstream = Upstream::address(to.original.to_string(), to.dialled, members.names_at(to.original));
        let target = ProbeTarget::new(settings, dials, route, Arc::new(upstream));
        ProbeTarget { redirected: Some(to.original), probed: false, ..target }
    }

    fn new(settings: &Settings, dials: &OwnDials, route: &Arc<Route>, upstream: Arc<Upstream>) -> ProbeTarget {
        ProbeTarget {
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

    /// The original destination of the server's redirected connections.
    pub(crate) fn redirected(&self) -> Option<SocketAddr> {
        self.redirected
    }

    /// The route and the destination, as in the records of connections.
    pub(crate) fn key(&self) -> LinkKey {
        let upstream = || Arc::clone(&self.upstream.name);
        let destination = self.redirected.map_or_else(upstream, |address| address.to_string().into());
        LinkKey { route: self.route.id.clone(), destination }
    }

    /// Whether another target is the same server, reached by the same rules.
    pub(crate) fn same(&self, other: &ProbeTarget) -> bool {
        let route = |target: &ProbeTarget| (Arc::clone(&target.route), Arc::clone(&target.upstream), target.redirected);
        let terms = |target: &ProbeTarget| (target.probed, target.times, target.asks);
        route(self) == route(other) && terms(self) == terms(other)
    }

    /// Probes the server until the task is aborted.
    pub(crate) async fn watch(self: Arc<ProbeTarget>, snapshot: SnapshotReader) {
        loop {
            let now = snapshot.load();
            self.probe(&now).await;
            // After a change of the policy, the next probe is made at once, since the kind of link may differ.
            if snapshot.load().generation == now.generation {
                tokio::select! {
                    () = sleep(PROBE_EVERY) => {}
                    () = self.changed.notified() => {}
                }
            }
        }
    }

    /// Makes one connection, and sends `hello` on it until it ends or the policy changes.
    async fn probe(&self, now: &Snapshot) {
        let Some(permit) = self.permit(now.mode) else { return };
        let link = permit.link();
        let mut session = match self.open(permit, now).await {
            Ok(session) => session,
            Err(failure) => return self.note(ProbeResult { link: Some(link), ..self.failed(failure) }),
        };
        let tls_version = session.tls_version;
        loop {
            // If TLS is passed through, the probe only connects.
            let answer = if link == Link::Untouched {
                HelloOutcome::Strange("TLS is passed through: only the TCP connection is checked".into())
            } else {
                session.hello().await
            };
            let seen = ProbeResult { up: true, link: Some(link), tls_version, ..ProbeResult::default() };
            match answer {
                HelloOutcome::Hello(hello) => {
                    self.speaks.store(true, Ordering::Relaxed);
                    self.note(ProbeResult { hello: Some(hello), ..seen });
                }
                HelloOutcome::Strange(reason) => {
                    // A server that answered as MongoDB before, and does not now, is down.
                    let up = !self.speaks.load(Ordering::Relaxed);
                    self.note(ProbeResult { up, reason: Some(reason), ..seen });
                    return session.close().await;
                }
                HelloOutcome::Refused(failure) => {
                    self.note(ProbeResult { link: Some(link), tls_version, ..self.failed(failure) });
                    return session.close().await;
                }
                HelloOutcome::Closed(reason) => {
                    self.note(ProbeResult { up: false, reason: Some(reason), ..seen });
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

    fn failed(&self, failure: LinkFailure) -> ProbeResult {
        let reason = self.in_words(&failure);
        ProbeResult { reason: Some(reason), fault: failure.fault, ..ProbeResult::default() }
    }

    /// Describes why the link to the server cannot be made.
    fn in_words(&self, failure: &LinkFailure) -> String {
        match self.redirected {
            Some(address) => {
                RedirectedServer { address, names: self.upstream.names() }.reason(&failure.text, &failure.fault)
            }
            None => failure.text.clone(),
        }
    }

    fn note(&self, seen: ProbeResult) {
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
        *last = ProbeResult { checked: Some(SystemTime::now()), other, other_fault, ..seen };
    }

    pub(crate) async fn open(&self, permit: Permit, snapshot: &Snapshot) -> Result<ProbeSession, LinkFailure> {
        let note = |local, remote| self.dials.note(local, remote, self.route.acceptance);
        ProbeSession::open(permit, &self.upstream, &snapshot.tls, self.times, note).await
    }

    fn permit(&self, mode: Mode) -> Option<Permit> {
        route_permit(mode, self.route.acceptance, self.route.link_rule)
    }

    /// The server's link as last probed, if its route is outbound.
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

    pub(crate) fn status(&self) -> ServerStatus {
        let seen = self.seen().clone();
        ServerStatus {
            route: self.route.id.clone(),
            upstream: Arc::clone(&self.upstream.name),
            up: seen.up,
            link: seen.link,
            tls_version: seen.tls_version,
            reason: seen.reason,
            checked: seen.checked,
            hello: seen.hello,
            other: seen.other,
        }
    }

    fn seen(&self) -> MutexGuard<'_, ProbeResult> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
