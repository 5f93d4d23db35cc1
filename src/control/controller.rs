//! The controller. A change is judged, everything that can fail is staged, and then one snapshot is committed; on any
//! error all stays as it was.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use clap::ArgMatches;
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio::time::timeout;

use super::audit;
use super::caller::Caller;
use super::change::{Change, ChangeError, Changed};
use super::conformity::Refuted;
use super::history::{Event, History};
use super::lease::Lease;
use super::naming::NamedSets;
use super::persistence::Saved;
use super::probe::Prober;
use super::readers::Readers;
use super::redirect::Redirect;
use super::refusals::Refusals;
use super::roster::{self, MemberResolvers};
use super::state_file::Persisted;
use super::status::{certificates, now_secs};
use super::views::{Action, Blocker, HistoryReply, LeaseStatus, RotateReply};
use crate::config::{self, Loaded, Mistake, Settings};
use crate::limits::FORCED_LOOK;
use crate::net::{OwnDials, Resolvers, SlotUsage};
use crate::policy::Mode;
use crate::route::{RouteId, Routes};
use crate::state::{MemberList, MemberListWriter};
use crate::state::{Snapshot, SnapshotReader, SnapshotWriter, Tuning};
use crate::telemetry::{LogHandle, Observer};
use crate::tls::{Material, UnusableReason, lost_crls};

/// The one place where what is running is changed.
#[derive(Debug)]
pub struct Controller {
    /// One change at a time. Held while upstreams are probed and files are read.
    pub(crate) changing: AsyncMutex<SnapshotWriter>,
    reader: SnapshotReader,
    /// What is read without waiting for a change that is under way.
    pub(crate) current: Mutex<Current>,
    tuning: watch::Sender<Tuning>,
    pub(crate) listeners: Arc<dyn ListenerControl>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) log: Option<Arc<LogHandle>>,
    pub(crate) arguments: ArgMatches,
    pub(crate) prober: Prober,
    pub(crate) roster: MemberListWriter,
    pub(crate) resolvers: AsyncMutex<MemberResolvers>,
    pub(crate) redirect: Redirect,
    pub(crate) history: History,
    pub(crate) refusals: Refusals,
    /// One writer of the state file at a time.
    pub(crate) saved: Arc<AsyncMutex<Saved>>,
    pub(crate) refuted: Mutex<Refuted>,
    pub(crate) started: Instant,
    quit: Notify,
    /// The listeners of the doors, once they are open.
    doors: OnceLock<Vec<(Arc<str>, SocketAddr)>>,
    /// Told after every reload.
    pub(crate) reloaded: Notify,
    /// Bounds answers that grow with connections and clients.
    pub(crate) readers: Readers,
}

/// What is in force beside the snapshot.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) persisted: Option<Persisted>,
    /// The members that a rollout has named.
    pub(crate) named: Arc<NamedSets>,
    pub(crate) lease: Lease,
    pub(crate) mode_since: SystemTime,
}

/// What a controller is made of.
#[derive(Debug)]
pub struct Parts {
    /// What was dialled and not answered yet.
    pub dials: OwnDials,
    /// The side that changes the snapshot.
    pub writer: SnapshotWriter,
    /// The side that says who is a member of the set.
    pub roster: MemberListWriter,
    /// What was loaded and is running.
    pub loaded: Loaded,
    /// Its routes.
    pub routes: Arc<Routes>,
    /// The resolvers of all servers.
    pub resolvers: Resolvers,
    /// What connections copy at accept.
    pub tuning: watch::Sender<Tuning>,
    /// The listeners.
    pub listeners: Arc<dyn ListenerControl>,
    /// What is known of connections.
    pub observer: Arc<Observer>,
    /// The log, if it is this proxy's own.
    pub log: Option<Arc<LogHandle>>,
    /// The command line, which a reload reads again.
    pub arguments: ArgMatches,
    /// The mode that the state file holds.
    pub persisted: Option<Persisted>,
    /// The members that it names.
    pub named: NamedSets,
    /// The changes that it tells of.
    pub history: History,
}

/// What the controller needs of the data plane, without knowing it: listeners and slots that follow the settings.
pub trait ListenerControl: std::fmt::Debug + Send + Sync {
    /// Does all that can fail to bring the listeners to these settings, and changes nothing yet.
    ///
    /// # Errors
    /// Every listener that cannot be had.
    fn stage(&self, settings: &Settings, routes: &Routes) -> Result<Staged, Vec<Mistake>>;

    /// Who is a member of the set has changed.
    fn members_changed(&self, settings: &Settings);

    /// The addresses listened on.
    fn addresses(&self) -> Vec<(RouteId, SocketAddr)>;

    /// What has become of the connection slots, by direction.
    fn slots(&self) -> [(&'static str, SlotUsage); 2];
}

/// The rest of a staged change, which cannot fail.
pub type Staged = Box<dyn FnOnce() + Send>;

impl Controller {
    /// A controller for what was loaded and is running. To be made on the runtime that it is to work on: its probes start.
    #[must_use]
    pub fn new(parts: Parts) -> Controller {
        let Parts {
            dials,
            writer,
            roster,
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
        } = parts;
        audit::start(&history, writer.current().mode, persisted.is_some());
        let current = Current {
            loaded: Arc::new(loaded),
            routes,
            persisted,
            named: Arc::new(named),
            lease: Lease::default(),
            mode_since: SystemTime::now(),
        };
        let prober = Prober::new(writer.reader(), dials);
        let settings = &current.loaded.settings;
        roster.write(MemberList::new(roster::given(settings, &current.named)));
        listeners.members_changed(settings);
        prober.follow(settings, &current.routes, &roster.reader().load());
        observer.inventory.set_window(current.loaded.settings.admin.guard_window);
        Controller {
            prober,
            roster,
            resolvers: AsyncMutex::new(MemberResolvers::new(resolvers)),
            redirect: Redirect::default(),
            history,
            refusals: Refusals::default(),
            saved: Arc::default(),
            refuted: Mutex::default(),
            reader: writer.reader(),
            changing: AsyncMutex::new(writer),
            current: Mutex::new(current),
            tuning,
            listeners,
            observer,
            log,
            arguments,
            started: Instant::now(),
            quit: Notify::new(),
            doors: OnceLock::new(),
            reloaded: Notify::new(),
            readers: Readers::default(),
        }
    }

    /// The mode in force and its generation.
    #[must_use]
    pub fn mode(&self) -> (Mode, u64) {
        let snapshot = self.reader.load();
        (snapshot.mode, snapshot.generation)
    }

    /// How many connections are under way that the snapshot in force would not make.
    pub(crate) fn pending_non_conforming(&self) -> usize {
        self.reader.pending_non_conforming()
    }

    /// The snapshot in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.reader.load()
    }

    /// The settings in force, the mode excepted, which may have been changed since.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.current().loaded.settings.clone()
    }

    /// The addresses listened on, by route name.
    #[must_use]
    pub fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        let listeners = self.listeners.addresses().into_iter();
        let mut addresses: Vec<_> = listeners.map(|(route, address)| (route.name(), address)).collect();
        addresses.extend(self.doors.get().into_iter().flatten().cloned());
        addresses
    }

    /// The doors are open, on these addresses. To be called once.
    pub(crate) fn opened(&self, doors: &[(Arc<str>, SocketAddr)]) {
        // Set once: the doors are opened once.
        let _ = self.doors.set(doors.to_vec());
    }

    /// Changes the mode. When this returns, every connection that is judged from now on has it.
    ///
    /// # Errors
    /// [`ChangeError`]: a step that the ladder does not have, an upstream that would be cut off, a lease, unless forced;
    /// a mode that cannot be served; what the guard has found.
    pub async fn change_mode(&self, change: Change, caller: &Caller) -> Result<Changed, ChangeError> {
        let mut writer = self.changing.lock().await;
        let outcome = self.change(&mut writer, &change).await;
        audit::change(&self.history, &change, &outcome, caller);
        outcome
    }

    async fn change(&self, writer: &mut SnapshotWriter, change: &Change) -> Result<Changed, ChangeError> {
        let snapshot = writer.current();
        let was = snapshot.mode;
        if !change.force {
            self.keep_out(change.holder.as_deref())?;
        }
        let repeated = change.repeatable && change.to == was;
        if !change.force && !repeated {
            was.step_to(change.to, change.spelling)?;
        }
        servable(change.to, &self.loaded().settings, &snapshot.tls)?;
        // What is in force already hurts nobody anew.
        let warnings =
            if change.to == was { Vec::new() } else { self.object(change, self.blockers(change.to)).await? };
        // Somebody may have taken the lease while servers were asked.
        if !change.force {
            self.keep_out(change.holder.as_deref())?;
        }
        if change.persist {
            self.persist(change.to).await?;
        }
        let generation = if change.to == was {
            snapshot.generation
        } else {
            let generation = writer.commit(change.to, Arc::clone(&snapshot.tls));
            self.current().mode_since = SystemTime::now();
            self.prober.policy_changed();
            generation
        };
        Ok(Changed { was, mode: change.to, generation, persisted: change.persist, warnings })
    }

    /// What stands against a change: refused without force, refused under guard, or said.
    async fn object(
        &self,
        change: &Change,
        look: impl Future<Output = Vec<Blocker>>,
    ) -> Result<Vec<String>, ChangeError> {
        // Who forces a change, as back at once, does not wait for servers that do not answer.
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

    /// Reads flags and file again, and the TLS files; puts all of it in force, or nothing. A mode that the file did
    /// not change stays as it was set; one that it changed is judged as a step without force.
    ///
    /// # Errors
    /// [`ChangeError`], with every reason that was found.
    pub async fn reload(&self, caller: &Caller) -> Result<Changed, ChangeError> {
        self.reload_by(&self.arguments, false, caller).await
    }

    /// The same; TLS files that are out of date are taken too.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub async fn reload_forced(&self, caller: &Caller) -> Result<Changed, ChangeError> {
        self.reload_by(&self.arguments, true, caller).await
    }

    /// The same, with another command line than the one at start.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub async fn reload_with(&self, arguments: &ArgMatches, caller: &Caller) -> Result<Changed, ChangeError> {
        self.reload_by(arguments, false, caller).await
    }

    async fn reload_by(&self, arguments: &ArgMatches, force: bool, caller: &Caller) -> Result<Changed, ChangeError> {
        let mut writer = self.changing.lock().await;
        let outcome = self.reread(&mut writer, arguments, force).await;
        audit::reload(&self.history, &outcome, force, caller);
        self.refusals.reloaded(&outcome, caller);
        outcome
    }

    async fn reread(
        &self,
        writer: &mut SnapshotWriter,
        arguments: &ArgMatches,
        force: bool,
    ) -> Result<Changed, ChangeError> {
        let (arguments, previous) = (arguments.clone(), self.loaded());
        let reload =
            blocking(move || config::reload(&arguments, &previous)).await?.map_err(ChangeError::Configuration)?;
        let snapshot = writer.current();
        let was = snapshot.mode;
        let outdated = outdated(&snapshot.tls, &reload.loaded.material, force)?;
        let routes = self.routes_in_force().updated(&reload.loaded.settings).map_err(ChangeError::Configuration)?;
        let routes = Arc::new(routes);
        let changed_to = reload.mode_changed_to.filter(|to| *to != was);
        let mut warnings = Vec::new();
        if let Some(to) = changed_to {
            self.keep_out(None)?;
            let spelling = reload.loaded.settings.spelling;
            was.step_to(to, spelling)?;
            // By what the file brings, not by what is in force: its links, its certificates.
            let tls = Arc::clone(&reload.loaded.material);
            let coming = Arc::new(Snapshot::new(was, snapshot.generation, tls));
            let look = self.blockers_coming(to, &reload.loaded.settings, &routes, coming);
            warnings = self.object(&Change::to(to, spelling), look).await?;
        }
        warnings.extend(outdated);
        let mode = changed_to.unwrap_or(was);
        servable(mode, &reload.loaded.settings, &reload.loaded.material)?;
        let (listeners, settings) = (Arc::clone(&self.listeners), reload.loaded.settings.clone());
        let staging = Arc::clone(&routes);
        let staged =
            blocking(move || listeners.stage(&settings, &staging)).await?.map_err(ChangeError::Configuration)?;
        if changed_to.is_some() {
            self.keep_out(None)?;
        }

        let generation = writer.commit(mode, Arc::clone(&reload.loaded.material));
        self.tuning.send_replace(tuning(&reload.loaded.settings));
        staged();
        if let Some(log) = &self.log {
            log.set_level(reload.loaded.settings.log.level);
        }
        for warning in &reload.loaded.warnings {
            tracing::warn!("{warning}");
        }
        self.prober.follow(&reload.loaded.settings, &routes, &self.roster());
        self.observer.inventory.set_window(reload.loaded.settings.admin.guard_window);
        self.prober.policy_changed();
        let mut current = self.current();
        if reload.mode_changed_to.is_some() {
            current.persisted = None;
        }
        if mode != was {
            current.mode_since = SystemTime::now();
        }
        (current.loaded, current.routes) = (Arc::new(reload.loaded), routes);
        self.reloaded.notify_one();
        Ok(Changed { was, mode, generation, persisted: false, warnings })
    }

    /// Reads the TLS files again, and nothing else; all of them, or none.
    ///
    /// # Errors
    /// [`ChangeError::Configuration`], with every file that cannot be used; [`ChangeError::Unusable`], where they are out of date,
    /// unless forced. The old ones stay.
    pub async fn rotate(&self, force: bool, caller: &Caller) -> Result<RotateReply, ChangeError> {
        let mut writer = self.changing.lock().await;
        let loaded = self.loaded();
        let running = writer.current();
        let mode = running.mode;
        let read =
            blocking(move || config::material(&loaded)).await.and_then(|read| read.map_err(ChangeError::Configuration));
        let read = read.and_then(|(material, warnings)| {
            servable(mode, &self.loaded().settings, &material)?;
            outdated(&running.tls, &material, force)?;
            Ok((material, warnings))
        });
        self.refusals.rotated(&read, caller);
        match read {
            Ok((material, warnings)) => {
                let shown = material.serving.as_ref().or(material.outgoing.as_ref());
                let shown = shown.map(|identity| format!("{}, serial {}", identity.subject, identity.serial));
                let generation = writer.commit(mode, Arc::new(material));
                self.prober.policy_changed();
                audit::rotation(&self.history, Ok((generation, shown)), force, caller);
                for warning in &warnings {
                    tracing::warn!("{warning}");
                }
                Ok(RotateReply { generation, certificates: certificates(&writer.current().tls), warnings })
            }
            Err(error) => {
                audit::rotation(&self.history, Err(&error), force, caller);
                Err(error)
            }
        }
    }

    /// Whether files that were refused as out of date would be taken now, by another date or for another reason. Nothing is
    /// logged: it is asked again and again.
    pub(crate) async fn has_become_usable(&self) -> bool {
        let loaded = self.loaded();
        let read = blocking(move || config::material(&loaded)).await;
        let Ok(Ok((material, _))) = read else { return false };
        outdated(&self.snapshot().tls, &material, false).is_ok()
    }

    /// Takes, renews or (with a time of zero) gives back the lease. When this returns a lease that is newly taken, no change
    /// of another that is not by force is under way any more.
    ///
    /// # Errors
    /// [`ChangeError::Leased`], where another holds it and this is not by force.
    pub async fn lease(
        &self,
        holder: &str,
        time: Duration,
        force: bool,
        caller: &Caller,
    ) -> Result<Option<LeaseStatus>, ChangeError> {
        let renewed = self.current().lease.keeps_out(None, Instant::now()).is_some_and(|(held, _)| held == holder);
        let lease = self.take_lease(holder, time, force, caller)?;
        if lease.is_some() && !renewed {
            // A change that was under way has found the lease taken, or was past asking and is committed now.
            drop(self.changing.lock().await);
        }
        Ok(lease)
    }

    fn take_lease(
        &self,
        holder: &str,
        time: Duration,
        force: bool,
        caller: &Caller,
    ) -> Result<Option<LeaseStatus>, ChangeError> {
        let mut current = self.current();
        let now = Instant::now();
        if !force && let Some((held, left)) = current.lease.keeps_out(Some(holder), now) {
            let refused = ChangeError::Leased { holder: held.to_owned(), seconds: left.as_secs().max(1) };
            let what = format!("for {holder}");
            self.history.note(Event::refused(Action::Lease, what, &format!("{held} holds the lease")), caller);
            return Err(refused);
        }
        // Renewals, every few seconds in a rollout, are left out, and so is the giving back of what is not held.
        let held = current.lease.held(now).map(|(holder, _)| holder.to_owned());
        let what = match (&held, time.is_zero()) {
            (None, true) => None,
            (Some(held), true) => Some(format!("of {held} given back by {holder}")),
            (Some(held), false) if held == holder => None,
            (Some(held), false) => Some(format!("of {held} taken by {holder}")),
            (None, false) => Some(format!("taken by {holder}")),
        };
        if let Some(what) = what {
            let what = if force { format!("{what}, forced") } else { what };
            self.history.note(Event::done(Action::Lease, what), caller);
        }
        current.lease.take(holder, time, now);
        let (door, by) = (caller.door.name(), &caller.who);
        tracing::info!(holder = crate::text::printable(holder), seconds = time.as_secs(), forced = force, door, %by, "lease");
        Ok(lease_status(&current.lease))
    }

    /// The last changes, made or refused, oldest first.
    #[must_use]
    pub fn history(&self) -> HistoryReply {
        HistoryReply { history: self.history.entries() }
    }

    /// Asks this proxy to stop, as SIGTERM does.
    pub fn quit(&self, caller: &Caller) {
        let (door, by) = (caller.door.name(), &caller.who);
        tracing::info!(door, %by, "asked to quit");
        self.history.note(Event::done(Action::Quit, "asked to stop"), caller);
        self.quit.notify_one();
    }

    /// Returns once it was asked to stop.
    pub async fn quitting(&self) {
        self.quit.notified().await;
    }

    pub(crate) fn keep_out(&self, holder: Option<&str>) -> Result<(), ChangeError> {
        let current = self.current();
        match current.lease.keeps_out(holder, Instant::now()) {
            None => Ok(()),
            Some((holder, left)) => {
                Err(ChangeError::Leased { holder: holder.to_owned(), seconds: left.as_secs().max(1) })
            }
        }
    }

    pub(crate) fn routes_in_force(&self) -> Arc<Routes> {
        Arc::clone(&self.current().routes)
    }

    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.current().loaded)
    }

    pub(crate) fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of the settings that connections copy at accept.
#[must_use]
pub fn tuning(settings: &Settings) -> Tuning {
    Tuning { timeouts: settings.timeouts, refusal: settings.refusal }
}

pub(crate) fn lease_status(lease: &Lease) -> Option<LeaseStatus> {
    let (holder, left) = lease.held(Instant::now())?;
    Some(LeaseStatus { holder: holder.to_owned(), seconds_left: left.as_secs() })
}

/// Whether the TLS files at hand can serve a mode.
///
/// # Errors
/// [`ChangeError::Unservable`], with what it takes.
pub fn servable(mode: Mode, settings: &Settings, material: &Material) -> Result<(), ChangeError> {
    let refuse = |missing| Err(ChangeError::Unservable { mode, missing });
    if settings.needs_certificate(mode) && !material.can_accept() {
        return refuse("no certificate is loaded; set tlsCertificateKeyFile and reload");
    }
    if settings.links_by_tls(mode) && !material.can_dial() {
        return refuse("nothing to verify servers with; set tlsCAFile and reload");
    }
    Ok(())
}

/// What there is to say of TLS files that are out of date and are to take the place of others.
///
/// # Errors
/// [`ChangeError::Unusable`], where those in force are not out of date, unless forced: they are not given up for files by which
/// nobody connects, or nobody with a certificate of a CA whose revocation list has gone.
fn outdated(running: &Material, coming: &Material, force: bool) -> Result<Vec<String>, ChangeError> {
    let now = now_secs();
    let (found, before) = (coming.unusable(now), running.unusable(now));
    let lost = lost_crls(running.items(), coming.items(), now);
    let is_new = |one: &UnusableReason| !before.iter().any(|other| other.part == one.part);
    let gets_worse = !before.iter().any(|one| one.is_certain) && (found.iter().any(is_new) || !lost.is_empty());
    let lines = found.into_iter().map(|one| one.line).chain(lost).collect();
    if gets_worse && !force { Err(ChangeError::Unusable(lines)) } else { Ok(lines) }
}

/// Files and DNS may be slow, and the control plane's thread has others to answer.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ChangeError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ChangeError::Internal(error.to_string()))
}

const NOT_LOOKED: &str = "not every server behind has answered in time to say whether this mode reaches it";
