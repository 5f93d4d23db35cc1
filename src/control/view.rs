//! The read side of the control plane, which never waits for a change in progress.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use clap::ArgMatches;
use hyper::body::Bytes;

use super::answer_limit::{AnswerLimit, AnswerSize};
use super::blocking::blocking;
use super::change::ChangeError;
use super::checks::conformance::{Conformance, NonConformance};
use super::doctor::DoctorCache;
use super::history::{History, HistoryEntry};
use super::interception_state::InterceptionState;
use super::listener_control::ListenerControl;
use super::probe::{Prober, ServerStatus};
use super::refusals::Refusals;
use super::running::{RunningReader, RunningState};
use crate::config::{self, Loaded, Settings};
use crate::net::OwnDials;
use crate::policy::{Mode, Spelling};
use crate::route::Routes;
use crate::state::{MemberList, MemberListReader, Snapshot, SnapshotReader};
use crate::telemetry::{InventoryRow, LogHandle, Observer, OpenConnection, QueuedConnection, Transport, now_millis};

/// The read side of the running state.
#[derive(Debug)]
pub struct View {
    snapshot: SnapshotReader,
    running: RunningReader,
    observer: Arc<Observer>,
    prober: Prober,
    members: MemberListReader,
    interception: InterceptionState,
    conformance: Conformance,
    history: History,
    doctor: DoctorCache,
    /// The connections that this process dials.
    dials: OwnDials,
    refusals: Refusals,
    listeners: Arc<dyn ListenerControl>,
    /// The addresses of the admin port and of the health probe port, once they are open.
    admin_addresses: OnceLock<Vec<(Arc<str>, SocketAddr)>>,
    answers: AnswerLimit,
    log: Option<Arc<LogHandle>>,
    arguments: ArgMatches,
    started: Instant,
}

/// The parts from which a view is built.
#[derive(Debug)]
pub(super) struct ViewParts {
    pub(super) snapshot: SnapshotReader,
    pub(super) running: RunningReader,
    pub(super) observer: Arc<Observer>,
    pub(super) dials: OwnDials,
    pub(super) members: MemberListReader,
    pub(super) history: History,
    pub(super) listeners: Arc<dyn ListenerControl>,
    pub(super) log: Option<Arc<LogHandle>>,
    pub(super) arguments: ArgMatches,
}

/// A row of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientReport {
    /// The inventory's row.
    pub seen: InventoryRow,
    /// Whether the client blocks `requireSSL` now.
    pub blocks: bool,
}

/// An open connection.
#[derive(Debug, Clone)]
pub struct ConnectionReport {
    /// The connection.
    pub open: Arc<OpenConnection>,
    /// Why the present policy would not make the connection; `None` if it conforms.
    pub non_conforming: Option<NonConformance>,
}

/// The inventory in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InventoryCounts {
    /// The number of rows.
    pub rows: usize,
    /// Clients that block `requireSSL`.
    pub unmoved: usize,
    /// Plaintext rows within the guard window that were lost to the bound.
    pub lost: u64,
}

impl View {
    pub(super) fn new(parts: ViewParts) -> View {
        let ViewParts { snapshot, running, observer, dials, members, history, listeners, log, arguments } = parts;
        View {
            prober: Prober::new(snapshot.clone(), dials.clone()),
            doctor: DoctorCache::default(),
            dials,
            snapshot,
            running,
            observer,
            members,
            interception: InterceptionState::default(),
            conformance: Conformance::default(),
            history,
            refusals: Refusals::default(),
            listeners,
            admin_addresses: OnceLock::new(),
            answers: AnswerLimit::default(),
            log,
            arguments,
            started: Instant::now(),
        }
    }

    /// The mode in force and its generation.
    pub fn mode(&self) -> (Mode, u64) {
        let snapshot = self.snapshot.load();
        (snapshot.mode, snapshot.generation)
    }

    /// The snapshot in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load()
    }

    /// The settings in force. Their mode is the configured one; the mode in force may have been changed since.
    pub fn settings(&self) -> Settings {
        self.loaded().settings.clone()
    }

    /// The addresses of all listeners, by route name; those of the admin port last.
    pub fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        let listeners = self.listeners.addresses().into_iter();
        let mut addresses: Vec<_> = listeners.map(|(route, address)| (route.name(), address)).collect();
        addresses.extend(self.admin_addresses.get().into_iter().flatten().cloned());
        addresses
    }

    /// Notes the addresses of the admin port's listeners. Must be called only once.
    pub(crate) fn set_admin_addresses(&self, addresses: &[(Arc<str>, SocketAddr)]) {
        // The listeners are opened once, so this does not fail.
        let _ = self.admin_addresses.set(addresses.to_vec());
    }

    /// The last probe of each server.
    pub fn servers(&self) -> Vec<ServerStatus> {
        self.prober.status()
    }

    /// The known members.
    pub fn members(&self) -> Arc<MemberList> {
        self.members.load()
    }

    /// The last changes, made or refused, oldest first.
    pub fn changes(&self) -> Vec<HistoryEntry> {
        self.history.entries()
    }

    /// A number that grows with every change of the history.
    pub(crate) fn history_revision(&self) -> u64 {
        self.history.revision()
    }

    /// Complete TLS handshakes with clients, by version: 1.2, 1.3, any other.
    pub fn handshakes(&self) -> [u64; 3] {
        self.observer.metrics.handshakes()
    }

    /// Connections accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.observer.accepted()
    }

    /// The open connections, oldest first.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionReport> {
        let snapshot = self.snapshot();
        self.observer.open_connections.list().into_iter().map(move |open| {
            let non_conforming = self.conformance.check(&open, &snapshot);
            ConnectionReport { open, non_conforming }
        })
    }

    /// The connections that wait for a slot, oldest first.
    pub fn waiting(&self) -> Vec<QueuedConnection> {
        self.observer.waiting.list()
    }

    /// All clients that were seen, by address.
    pub fn clients(&self) -> Vec<ClientReport> {
        let window = self.loaded().settings.admin.guard_window;
        let blocking: HashSet<_> =
            self.observer.plaintext_blockers(window, now_millis()).into_iter().map(|one| one.identity).collect();
        let report = |seen: InventoryRow| {
            let blocks = seen.kind == Transport::Plaintext && blocking.contains(&seen.identity);
            ClientReport { seen, blocks }
        };
        self.observer.inventory.rows().into_iter().map(report).collect()
    }

    /// Runs `make` on a thread for blocking work. The work counts against the limit of concurrent answers until it is
    /// done, even if the caller has stopped waiting.
    ///
    /// # Errors
    /// [`ChangeError::Busy`] if too many requests wait already.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        size: AnswerSize,
        make: impl FnOnce(&View) -> T + Send + 'static,
    ) -> Result<T, ChangeError> {
        let permit = self.answers.acquire_if_few(size).await?;
        let view = Arc::clone(self);
        blocking(move || {
            let made = make(&view);
            drop(permit);
            made
        })
        .await
    }

    /// Returns `body`. Until it is sent, its size counts against the limit of answers that are held in memory.
    ///
    /// # Errors
    /// [`ChangeError::Busy`] if the answers that are being sent hold too many bytes already.
    pub(crate) fn hold(&self, body: Vec<u8>) -> Result<Bytes, ChangeError> {
        self.answers.hold(body)
    }

    pub(super) fn inventory_counts(&self) -> InventoryCounts {
        let (inventory, window) = (&self.observer.inventory, self.loaded().settings.admin.guard_window);
        let unmoved = self.observer.plaintext_blockers(window, now_millis()).len();
        InventoryCounts { rows: inventory.len(), unmoved, lost: inventory.lost(now_millis()) }
    }

    /// The mode and spelling in flags and file now, for a comparison with the mode in force.
    pub(super) async fn configured_mode(&self) -> (Mode, Spelling) {
        let arguments = self.arguments.clone();
        let now = blocking(move || config::mode_named(&arguments)).await.ok().flatten();
        let loaded = self.loaded();
        // If the file cannot be read now, the last one that was read counts.
        now.unwrap_or((loaded.settings.mode, loaded.settings.spelling))
    }

    /// The mode in which a restart would start.
    pub(super) fn restart_mode(&self, configured: Mode) -> Mode {
        let persisted = self.running(|running| running.persisted.as_ref()?.wins_over(configured));
        persisted.unwrap_or(configured)
    }

    /// Checks again whether the certificates of established clients verify, if that is due.
    pub(super) async fn recheck_certificates(&self) {
        self.conformance.recheck(&self.snapshot(), &self.observer).await;
    }

    /// The number of connections that are not established yet and that the snapshot in force would not make.
    pub(super) fn pending_non_conforming(&self) -> usize {
        self.snapshot.pending_non_conforming()
    }

    pub(super) fn loaded(&self) -> Arc<Loaded> {
        self.running(|running| Arc::clone(&running.loaded))
    }

    pub(super) fn routes(&self) -> Arc<Routes> {
        self.running(|running| Arc::clone(&running.routes))
    }

    pub(super) fn running<T>(&self, read: impl FnOnce(&RunningState) -> T) -> T {
        self.running.read(read)
    }

    pub(super) fn observer(&self) -> &Arc<Observer> {
        &self.observer
    }

    pub(super) fn prober(&self) -> &Prober {
        &self.prober
    }

    pub(super) fn interception(&self) -> &InterceptionState {
        &self.interception
    }

    pub(super) fn conformance(&self) -> &Conformance {
        &self.conformance
    }

    pub(super) fn doctor(&self) -> &DoctorCache {
        &self.doctor
    }

    pub(super) fn dials(&self) -> &OwnDials {
        &self.dials
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    pub(super) fn listeners(&self) -> &Arc<dyn ListenerControl> {
        &self.listeners
    }

    pub(super) fn answers(&self) -> &AnswerLimit {
        &self.answers
    }

    pub(super) fn log(&self) -> Option<&LogHandle> {
        self.log.as_deref()
    }

    pub(super) fn arguments(&self) -> &ArgMatches {
        &self.arguments
    }

    pub(super) fn started(&self) -> Instant {
        self.started
    }
}
