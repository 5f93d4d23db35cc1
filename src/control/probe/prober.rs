//! The probes of all servers, and the trials of servers before a change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use super::results::{DialledDestination, LinkSeen, ServerStatus, Unreachable};
use super::target::ProbeTarget;
use crate::config::Settings;
use crate::net::OwnDials;
use crate::policy::Mode;
use crate::route::Routes;
use crate::state::{MemberList, Snapshot, SnapshotReader};

/// The probes of this proxy.
#[derive(Debug)]
pub(crate) struct Prober {
    snapshot: SnapshotReader,
    dials: OwnDials,
    targets: Mutex<Vec<Probed>>,
    /// Destinations of redirected connections that are not among the targets: they are tried before a change, but not
    /// probed.
    destinations: Mutex<Vec<Arc<ProbeTarget>>>,
}

/// A server that is probed, if probing is on, until this value is dropped.
#[derive(Debug)]
struct Probed {
    target: Arc<ProbeTarget>,
    /// `None` if probing is off.
    task: Option<AbortHandle>,
}

impl Prober {
    /// A prober without targets; [`Prober::follow`] sets them.
    pub(crate) fn new(snapshot: SnapshotReader, dials: OwnDials) -> Prober {
        Prober { snapshot, dials, targets: Mutex::default(), destinations: Mutex::default() }
    }

    /// Probes the servers of these settings, on the runtime on which this is called. Probes of unchanged servers
    /// continue.
    pub(crate) fn follow(&self, settings: &Settings, routes: &Routes, members: &MemberList) {
        let mut targets = self.targets();
        let mut known: Vec<_> = std::mem::take(&mut *targets);
        for target in ProbeTarget::all(settings, routes, members, &self.dials) {
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

    /// Probes again at once, since a change of the policy may have changed the links.
    pub(crate) fn policy_changed(&self) {
        self.targets().iter().for_each(|probed| probed.target.changed.notify_one());
    }

    /// The last result for each server.
    pub(crate) fn status(&self) -> Vec<ServerStatus> {
        self.targets().iter().map(|probed| probed.target.status()).collect()
    }

    /// The links of outbound routes, as last probed.
    pub(crate) fn links(&self) -> Vec<LinkSeen> {
        let targets = self.targets();
        let destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        let all = targets.iter().map(|probed| &probed.target).chain(&*destinations);
        all.filter_map(|target| target.link()).collect()
    }

    /// The servers that would be unreachable by the links of a mode: those of the settings, and the destinations of
    /// redirected connections. A server for which the mode would change the kind of link is tried now, unless it was
    /// tried within the last minute.
    pub(crate) async fn unreachable(
        &self,
        to: Mode,
        (settings, routes): (&Settings, &Routes),
        members: &MemberList,
        traffic: &[DialledDestination],
    ) -> Vec<Unreachable> {
        let mut targets: Vec<_> = self.targets().iter().map(|probed| Arc::clone(&probed.target)).collect();
        let destinations: Vec<_> =
            self.destinations((settings, routes), members, traffic, &targets).map(Arc::new).collect();
        {
            let mut known = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
            // Keeps the last trial of a known destination.
            let kept = destinations.into_iter().map(|new| {
                let before = known.iter().find(|known| known.same(&new));
                before.map_or(new, Arc::clone)
            });
            *known = kept.collect();
            targets.extend(known.iter().cloned());
        }
        unreachable(targets, to, self.snapshot.load(), traffic).await
    }

    /// As [`Prober::unreachable`], under settings and a snapshot that are not in force yet.
    pub(crate) async fn unreachable_by(
        &self,
        (settings, routes): (&Settings, &Routes),
        members: &MemberList,
        to: Mode,
        coming: Arc<Snapshot>,
        traffic: &[DialledDestination],
    ) -> Vec<Unreachable> {
        let mut targets: Vec<_> =
            ProbeTarget::all(settings, routes, members, &self.dials).into_iter().map(Arc::new).collect();
        let destinations: Vec<_> =
            self.destinations((settings, routes), members, traffic, &targets).map(Arc::new).collect();
        targets.extend(destinations);
        unreachable(targets, to, coming, traffic).await
    }

    /// The destinations of redirected connections that are not among these targets.
    fn destinations<'a>(
        &'a self,
        (settings, routes): (&'a Settings, &'a Routes),
        members: &'a MemberList,
        traffic: &'a [DialledDestination],
        targets: &'a [Arc<ProbeTarget>],
    ) -> impl Iterator<Item = ProbeTarget> + 'a {
        routes.transparent.iter().flat_map(move |route| {
            let dialled = traffic.iter().filter_map(|dialled| dialled.redirected);
            let new = dialled.filter(|to| targets.iter().all(|target| target.redirected() != Some(to.original)));
            new.map(move |to| ProbeTarget::destination(settings, route, members, to, &self.dials))
        })
    }

    fn targets(&self) -> MutexGuard<'_, Vec<Probed>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tries all targets concurrently, since each may take the whole timeout.
async fn unreachable(
    targets: Vec<Arc<ProbeTarget>>,
    to: Mode,
    snapshot: Arc<Snapshot>,
    traffic: &[DialledDestination],
) -> Vec<Unreachable> {
    let tries = targets.into_iter().map(|target| {
        let (snapshot, key) = (Arc::clone(&snapshot), target.key());
        let dialled = traffic.iter().find(|dialled| dialled.key == key);
        let (traffic, bypasses) =
            dialled.map(|dialled| (dialled.traffic.clone(), dialled.bypasses)).unwrap_or_default();
        let open = dialled.filter(|dialled| !dialled.bypasses).map(|dialled| dialled.traffic.open);
        tokio::spawn(async move {
            let found = target.unreachable(to, &snapshot, &traffic, bypasses).await;
            found.map(|found| Unreachable { open, ..found })
        })
    });
    let tries: Vec<_> = tries.collect();
    let mut unreachable = Vec::new();
    for one in tries {
        // A trial that panicked has no result.
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
