//! The controller: the only writer of the running state. It checks a change, stages everything that can fail, and then
//! commits one snapshot. On any error nothing changes.
//!
//! A change that waits for servers or files runs on a task of its own, so that a caller that stops waiting cannot leave
//! it half done.

pub(super) mod freeze;
mod lease;
mod members;
mod reload;

use std::sync::Arc;
use std::time::SystemTime;

use clap::ArgMatches;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::timeout;

use super::audit;
use super::blocker::Blocker;
use super::blocking::blocking;
use super::caller::Caller;
use super::change::{AcceptedClient, Change, ChangeError, Changed, Recycle, Recycled, Rotated};
use super::checks::readiness::blockers;
use super::checks::tls_files::{outdated, servable};
use super::handover::{Carried, ChangePhase, ModeChange};
use super::history::History;
use super::lease::Lease;
use super::listener_control::ListenerControl;
use super::member_names::NamedSets;
use super::recycle::recycle;
use super::running::{RunningState, RunningWriter};
use super::state_file::PersistedMode;
use super::tasks::member_discovery::MemberDiscovery;
use super::tasks::state_saver::StateSaver;
use super::view::{View, ViewParts};
use crate::config::{self, Loaded, Settings};
use crate::limits::FORCED_LOOK;
use crate::net::{OwnDials, Resolvers};
use crate::policy::Mode;
use crate::route::Routes;
use crate::state::{MemberListWriter, SnapshotWriter, Tuning};
use crate::telemetry::{AcceptError, ClientIdentity, LogHandle, Observer};

/// The only writer of the running state.
#[derive(Debug)]
pub struct Controller {
    view: Arc<View>,
    /// Permits one change at a time. Held while servers are probed and files are read.
    changing: Mutex<SnapshotWriter>,
    running: RunningWriter,
    tuning: watch::Sender<Tuning>,
    discovery: Arc<MemberDiscovery>,
    saver: Arc<StateSaver>,
    quit: Notify,
    reloaded: Notify,
    phase: watch::Sender<ChangePhase>,
}

/// The parts from which a controller is built.
#[derive(Debug)]
pub struct ControllerParts {
    /// This proxy's own connections that their servers have not answered yet, to detect loops.
    pub dials: OwnDials,
    /// The writer of the snapshot.
    pub writer: SnapshotWriter,
    /// The writer of the list of members.
    pub members: MemberListWriter,
    /// The settings that were loaded at start.
    pub loaded: Loaded,
    /// The routes of these settings.
    pub routes: Arc<Routes>,
    /// The resolvers of all servers.
    pub resolvers: Resolvers,
    /// The settings that a connection copies when it gets its slot.
    pub tuning: watch::Sender<Tuning>,
    /// The listeners.
    pub listeners: Arc<dyn ListenerControl>,
    /// The records of connections.
    pub observer: Arc<Observer>,
    /// The log, if this proxy owns it.
    pub log: Option<Arc<LogHandle>>,
    /// The command line, which a reload reads again.
    pub arguments: ArgMatches,
    /// The persisted mode, from the state file or from the process that this one replaces.
    pub persisted: Option<PersistedMode>,
    /// The members that a rollout has named, from the same source.
    pub named: NamedSets,
    /// The history, from the same source.
    pub history: History,
    /// If this process replaces another one: the state of that process that is not in a state file.
    pub carried: Option<Carried>,
}

impl Controller {
    /// Builds a controller. Its probes start on the runtime on which this is called.
    pub fn new(parts: ControllerParts) -> Controller {
        let ControllerParts {
            dials,
            writer,
            members,
            loaded,
            routes,
            resolvers,
            tuning,
            listeners,
            observer,
            log,
            arguments,
            persisted,
            named,
            history,
            carried,
        } = parts;
        audit::start(
            &history,
            writer.current().mode,
            persisted.is_some(),
            carried.as_ref().is_some_and(|carried| carried.mode_kept),
        );
        let (change, lease) = carried.map(|carried| (carried.mode_change, carried.lease)).unzip();
        let ModeChange { since: mode_since, by: mode_by } =
            change.unwrap_or_else(|| ModeChange { since: SystemTime::now(), by: None });
        observer.inventory.set_window(loaded.settings.admin.guard_window);
        let running = RunningWriter::new(RunningState {
            loaded: Arc::new(loaded),
            routes,
            persisted,
            named: Arc::new(named),
            lease: lease.flatten().map(Lease::continued).unwrap_or_default(),
            mode_since,
            mode_by,
        });
        let view = Arc::new(View::new(ViewParts {
            snapshot: writer.reader(),
            running: running.reader(),
            observer,
            dials,
            members: members.reader(),
            history,
            listeners,
            log,
            arguments,
        }));
        Controller {
            discovery: Arc::new(MemberDiscovery::start(Arc::clone(&view), members, resolvers)),
            saver: Arc::new(StateSaver::new(Arc::clone(&view))),
            view,
            changing: Mutex::new(writer),
            running,
            tuning,
            quit: Notify::new(),
            reloaded: Notify::new(),
            phase: watch::Sender::new(ChangePhase::Open),
        }
    }

    /// The read side of this controller.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Changes the mode. When this returns, every connection that is judged from now on is judged by the new mode.
    ///
    /// # Errors
    /// [`ChangeError`]. Unless the change is forced: a step that is not one rung up, a server that would be cut off,
    /// or a lease of another caller. In any case: a mode that cannot be served; with `guard`, any blocker; with
    /// `persist`, a state file that is missing in the settings or cannot be written.
    pub async fn change_mode(self: &Arc<Self>, change: Change, caller: &Caller) -> Result<Changed, ChangeError> {
        let (this, caller) = (Arc::clone(self), caller.clone());
        carry_out(async move {
            this.thawed().await?;
            let mut writer = this.changing.lock().await;
            let outcome = this.change(&mut writer, &change, &caller).await;
            audit::change(this.view.history(), &change, &outcome, &caller);
            outcome
        })
        .await
    }

    async fn change(
        &self,
        writer: &mut SnapshotWriter,
        change: &Change,
        caller: &Caller,
    ) -> Result<Changed, ChangeError> {
        let snapshot = writer.current();
        let was = snapshot.mode;
        if !change.force {
            self.check_lease(change.holder.as_deref())?;
        }
        let repeated = change.repeatable && change.to == was;
        if !change.force && !repeated {
            was.step_to(change.to, change.spelling)?;
        }
        servable(change.to, &self.view.loaded().settings, &snapshot.tls)?;
        // A request for the mode in force breaks nothing.
        let warnings =
            if change.to == was { Vec::new() } else { check_blockers(change, blockers(&self.view, change.to)).await? };
        // The lease may have been taken while servers were probed.
        if !change.force {
            self.check_lease(change.holder.as_deref())?;
        }
        if change.persist {
            self.persist(change.to).await?;
        }
        let generation = if change.to == was {
            snapshot.generation
        } else {
            let generation = writer.commit(change.to, Arc::clone(&snapshot.tls));
            self.running.write().mode_changed(caller);
            self.view.prober().policy_changed();
            generation
        };
        Ok(Changed { was, mode: change.to, generation, persisted: change.persist, warnings })
    }

    async fn persist(&self, mode: Mode) -> Result<(), ChangeError> {
        let persisted = PersistedMode::new(mode, self.view.loaded().settings.mode);
        let _guard = self.saver.save_change(|state| state.persisted = Some(persisted.clone())).await?;
        self.running.write().persisted = Some(persisted);
        Ok(())
    }

    /// Reads the TLS files again and puts either all of them in force, or none.
    ///
    /// # Errors
    /// [`ChangeError::Configuration`], with every file that cannot be used; [`ChangeError::Unservable`] if the new
    /// files cannot serve the mode; [`ChangeError::Unusable`] if they are out of date, unless forced. On an error, the
    /// files in force stay.
    pub async fn rotate(self: &Arc<Self>, force: bool, caller: &Caller) -> Result<Rotated, ChangeError> {
        let (this, caller) = (Arc::clone(self), caller.clone());
        carry_out(async move {
            this.thawed().await?;
            let mut writer = this.changing.lock().await;
            let outcome = this.read_tls_files(&mut writer, force).await;
            this.view.refusals().rotated(&outcome, &caller);
            audit::rotation(this.view.history(), &outcome, force, &caller);
            outcome
        })
        .await
    }

    async fn read_tls_files(&self, writer: &mut SnapshotWriter, force: bool) -> Result<Rotated, ChangeError> {
        let (loaded, snapshot) = (self.view.loaded(), writer.current());
        let files = Arc::clone(&loaded);
        let (material, warnings) =
            blocking(move || config::material(&files)).await?.map_err(ChangeError::Configuration)?;
        servable(snapshot.mode, &loaded.settings, &material)?;
        outdated(&snapshot.tls, &material, force)?;
        let material = Arc::new(material);
        let generation = writer.commit(snapshot.mode, Arc::clone(&material));
        self.view.prober().policy_changed();
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(Rotated { generation, material, warnings })
    }

    /// Recycles the connections that the present policy would not make.
    ///
    /// # Errors
    /// [`ChangeError::Internal`]
    pub async fn recycle(self: &Arc<Self>, request: Recycle, caller: &Caller) -> Result<Recycled, ChangeError> {
        let (view, caller) = (Arc::clone(&self.view), caller.clone());
        carry_out(async move { Ok(recycle(&view, request, &caller).await) }).await
    }

    /// Accepts that `requireSSL` will refuse a client, so that the client does not block this mode. If `accepted` is
    /// false, withdraws the acceptance.
    ///
    /// # Errors
    /// [`AcceptError`]: an invalid key, too many accepted clients, or, unless `unseen`, a client that was never seen.
    pub fn accept(
        &self,
        key: &str,
        accepted: bool,
        unseen: bool,
        caller: &Caller,
    ) -> Result<AcceptedClient, AcceptError> {
        let outcome = self.accept_by_key(key, accepted, unseen);
        audit::accepted(self.view.history(), key, accepted, &outcome, caller);
        outcome
    }

    fn accept_by_key(&self, key: &str, accepted: bool, unseen: bool) -> Result<AcceptedClient, AcceptError> {
        let identity = ClientIdentity::parse(key)?;
        let key = identity.text();
        let known = self.view.observer().accept(identity, accepted, unseen)?;
        Ok(AcceptedClient { key, accepted, known })
    }

    /// Asks this proxy to stop, as SIGTERM does.
    pub fn quit(&self, caller: &Caller) {
        audit::quit(self.view.history(), caller);
        self.quit.notify_one();
    }

    /// Returns once a stop has been requested.
    pub async fn quitting(&self) {
        self.quit.notified().await;
    }

    /// Writes the state file, if there is one and its contents have changed.
    pub async fn save_state(&self) {
        self.saver.save().await;
    }

    /// Returns once a reload has succeeded since the last call.
    pub(super) async fn reloaded(&self) {
        self.reloaded.notified().await;
    }

    pub(super) fn member_discovery(&self) -> &Arc<MemberDiscovery> {
        &self.discovery
    }

    pub(super) fn state_saver(&self) -> &Arc<StateSaver> {
        &self.saver
    }
}

/// The part of the settings that a connection copies when it gets its slot.
pub fn tuning(settings: &Settings) -> Tuning {
    Tuning { timeouts: settings.timeouts, refusal: settings.refusal }
}

/// Runs a change on a task of its own, so that it is completed even if the caller stops waiting.
async fn carry_out<T: Send + 'static>(
    change: impl Future<Output = Result<T, ChangeError>> + Send + 'static,
) -> Result<T, ChangeError> {
    tokio::spawn(change).await.map_err(|error| ChangeError::Internal(error.to_string())).flatten()
}

/// Refuses a change because of its blockers, or returns them as warnings.
async fn check_blockers(change: &Change, look: impl Future<Output = Vec<Blocker>>) -> Result<Vec<String>, ChangeError> {
    // A forced change without the guard, such as a rollback, waits for unresponsive servers only up to a bound.
    let looked = if change.force && !change.guard { timeout(FORCED_LOOK, look).await } else { Ok(look.await) };
    let Ok(blockers) = looked else { return Ok(vec![NOT_LOOKED.to_owned()]) };
    let fatal: Vec<_> = blockers.iter().filter(|blocker| blocker.fatal).cloned().collect();
    if !fatal.is_empty() && !change.force {
        return Err(ChangeError::Unreachable { to: change.to, blockers: fatal });
    }
    if change.guard && !blockers.is_empty() {
        return Err(ChangeError::Guarded { to: change.to, blockers });
    }
    Ok(blockers.into_iter().map(|blocker| blocker.text).collect())
}

const NOT_LOOKED: &str =
    "some servers did not answer in time, so it is unknown whether they are reachable in this mode";
