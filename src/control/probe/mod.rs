//! The probe: one connection to each server behind, by the link that its route would make now, and on it a `hello`
//! every ten seconds. So it is known whether a server is up, what it is in its set, and which addresses the set
//! advertises.
//!
//! The other kind of link is tried only before a change that would use it, and at most once a minute: to a server
//! that does not speak it, each try is a line in its log.

mod hello;
mod session;
mod target;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::views::UpstreamStatus;
use crate::config::Settings;
use crate::net::OwnDials;
use crate::policy::{Link, Mode};
use crate::route::{RouteId, Routes};
use crate::state::MemberList;
use crate::state::{Snapshot, SnapshotReader};
use crate::telemetry::{LinkKey, RedirectedTo};
use crate::tls::PeerFault;

use target::Target;
pub(crate) use target::{LinkSeen, Traffic};

/// The probes of one proxy.
#[derive(Debug)]
pub(crate) struct Prober {
    snapshot: SnapshotReader,
    dials: OwnDials,
    targets: Mutex<Vec<Probed>>,
    /// Destinations of redirected connections that none of the targets is: tried before a change, and not probed.
    destinations: Mutex<Vec<Arc<Target>>>,
}

/// A server that is probed until this is dropped.
#[derive(Debug)]
struct Probed {
    target: Arc<Target>,
    /// None where servers are not to be asked.
    task: Option<AbortHandle>,
}

/// A destination of an outbound route that connections were led to.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) key: LinkKey,
    /// Its addresses, if the kernel has redirected them.
    pub(crate) redirected: Option<RedirectedTo>,
    pub(crate) traffic: Traffic,
    /// Whether its connections are not redirected yet, being older than the rules.
    pub(crate) around: bool,
}

/// A server that a mode would not reach.
#[derive(Debug)]
pub(crate) struct Unreachable {
    pub(crate) upstream: String,
    pub(crate) route: RouteId,
    pub(crate) link: Link,
    pub(crate) reason: String,
    pub(crate) fault: PeerFault,
    /// What to do, where that is known.
    pub(crate) remedy: Option<String>,
    /// Whether the kind of link is to blame: the one in use now works, or is of the same kind.
    pub(crate) by_the_change: bool,
    /// Whether its connections go around tlsramp, until they are made anew.
    pub(crate) around: bool,
    /// Connections to it that are open; none where it was not dialled by connections.
    pub(crate) open: Option<usize>,
}

impl Prober {
    /// Probes of nobody yet.
    pub(crate) fn new(snapshot: SnapshotReader, dials: OwnDials) -> Prober {
        Prober { snapshot, dials, targets: Mutex::default(), destinations: Mutex::default() }
    }

    /// Probes the servers of these settings; those that it probed already go on. To be called on the runtime that
    /// is to do it.
    pub(crate) fn follow(&self, settings: &Settings, routes: &Routes, roster: &MemberList) {
        let mut targets = self.targets();
        let mut known: Vec<_> = std::mem::take(&mut *targets);
        for target in Target::all(settings, routes, roster, &self.dials) {
            match known.iter().position(|probed| probed.target.same(&target)) {
                Some(at) => targets.push(known.swap_remove(at)),
                None => {
                    let target = Arc::new(target);
                    let watch =
                        settings.admin.probe_upstreams.then(|| Arc::clone(&target).watch(self.snapshot.clone()));
                    let task = watch.map(|watch| tokio::spawn(watch).abort_handle());
                    targets.push(Probed { target, task });
                }
            }
        }
    }

    /// The policy has changed: what the links are now is looked at at once.
    pub(crate) fn policy_changed(&self) {
        self.targets().iter().for_each(|probed| probed.target.changed.notify_one());
    }

    /// What is known of each server.
    pub(crate) fn status(&self) -> Vec<UpstreamStatus> {
        self.targets().iter().map(|probed| probed.target.status()).collect()
    }

    /// The links of outbound routes, as last seen.
    pub(crate) fn links(&self) -> Vec<LinkSeen> {
        let targets = self.targets();
        let destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        let all = targets.iter().map(|probed| &probed.target).chain(&*destinations);
        all.filter_map(|target| target.link()).collect()
    }

    /// The servers that a mode would not reach by the links that it makes: those of the settings, and where redirected
    /// connections go. Tries them now, unless that was tried in the last minute.
    pub(crate) async fn unreachable(
        &self,
        to: Mode,
        settings: &Settings,
        routes: &Routes,
        roster: &MemberList,
        traffic: &[Dialled],
    ) -> Vec<Unreachable> {
        let mut targets: Vec<_> = self.targets().iter().map(|probed| Arc::clone(&probed.target)).collect();
        let destinations: Vec<_> =
            self.destinations(settings, routes, roster, traffic, &targets).map(Arc::new).collect();
        {
            let mut known = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
            // What was tried of a destination is kept for as long as that is the same.
            let kept = destinations.into_iter().map(|new| {
                let before = known.iter().find(|known| known.same(&new));
                before.map_or(new, Arc::clone)
            });
            *known = kept.collect();
            targets.extend(known.iter().cloned());
        }
        unreachable(targets, to, self.snapshot.load(), traffic).await
    }

    /// The same of settings that are not in force yet, by a snapshot that is not either.
    pub(crate) async fn unreachable_by(
        &self,
        settings: &Settings,
        routes: &Routes,
        roster: &MemberList,
        to: Mode,
        coming: Arc<Snapshot>,
        traffic: &[Dialled],
    ) -> Vec<Unreachable> {
        let mut targets: Vec<_> =
            Target::all(settings, routes, roster, &self.dials).into_iter().map(Arc::new).collect();
        let destinations: Vec<_> =
            self.destinations(settings, routes, roster, traffic, &targets).map(Arc::new).collect();
        targets.extend(destinations);
        unreachable(targets, to, coming, traffic).await
    }

    /// Where redirected connections go and none of these targets is.
    fn destinations<'a>(
        &'a self,
        settings: &'a Settings,
        routes: &'a Routes,
        roster: &'a MemberList,
        traffic: &'a [Dialled],
        targets: &'a [Arc<Target>],
    ) -> impl Iterator<Item = Target> + 'a {
        routes.transparent.iter().flat_map(move |route| {
            let dialled = traffic.iter().filter_map(|dialled| dialled.redirected);
            let new = dialled.filter(|to| targets.iter().all(|target| target.redirected() != Some(to.original)));
            new.map(move |to| Target::destination(settings, route, roster, to, &self.dials))
        })
    }

    fn targets(&self) -> MutexGuard<'_, Vec<Probed>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All at once: each may take its time.
async fn unreachable(
    targets: Vec<Arc<Target>>,
    to: Mode,
    snapshot: Arc<Snapshot>,
    traffic: &[Dialled],
) -> Vec<Unreachable> {
    let tries = targets.into_iter().map(|target| {
        let (snapshot, key) = (Arc::clone(&snapshot), target.key());
        let dialled = traffic.iter().find(|dialled| dialled.key == key);
        let (traffic, around) = dialled.map(|dialled| (dialled.traffic.clone(), dialled.around)).unwrap_or_default();
        let open = dialled.filter(|dialled| !dialled.around).map(|dialled| dialled.traffic.open);
        tokio::spawn(async move {
            let found = target.unreachable(to, &snapshot, &traffic, around).await;
            found.map(|found| Unreachable { open, ..found })
        })
    });
    let tries: Vec<_> = tries.collect();
    let mut unreachable = Vec::new();
    for one in tries {
        // A try that panicked says nothing of its server.
        unreachable.extend(one.await.ok().flatten());
    }
    unreachable
}

impl Drop for Probed {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
