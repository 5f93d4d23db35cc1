//! The record of a connection: opened at accept and closed exactly once, even if the connection's task is cancelled.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::access_log::AccessLog;
use super::connection_info::{ConnectionInfo, RouteRecord};
use super::ended_connection::{EndedConnection, LoggedConnection};
use super::inventory::{AcceptError, BlockingClient, ClientIdentity, Inventory, InventoryGuard, Transport, now_millis};
use super::links::Links;
use super::metrics::Metrics;
use super::open_connections::{ByteCounters, OpenConnection, OpenConnections};
use super::outcome::Outcome;
use super::queued_connections::{QueueEntry, QueuedConnections};
use super::recycle_signal::RecycleSignal;
use crate::mongo::{ClientMetadata, Greeting};
use crate::policy::{Acceptance, Link, LinkRule, Mode, Opening};

/// The records of all connections of a proxy.
#[derive(Debug, Default)]
pub struct Observer {
    /// The established connections.
    pub open_connections: OpenConnections,
    /// The connections that wait for a slot.
    pub waiting: Arc<QueuedConnections>,
    /// The clients that were seen.
    pub inventory: Inventory,
    /// Counts and latencies of the whole proxy.
    pub metrics: Metrics,
    /// The destinations of outbound routes.
    pub links: Links,
    last_id: AtomicU64,
    counts: [AtomicU64; Outcome::ALL.len()],
    access_log: AccessLog,
}

/// The record of a connection that is not established yet. If it is dropped without [`Record::close`], it is closed as
/// [`Outcome::Internal`].
#[derive(Debug)]
pub struct Record {
    observer: Arc<Observer>,
    /// `None` once the record is closed or the connection is established.
    info: Option<Box<ConnectionInfo>>,
}

/// The record of an established connection. If it is dropped without [`OpenRecord::close`], it is closed as
/// [`Outcome::Internal`].
#[derive(Debug)]
pub struct OpenRecord {
    observer: Arc<Observer>,
    open: Arc<OpenConnection>,
    inventory_guard: Option<InventoryGuard>,
}

/// The verdict on a connection, and the policy that gave it.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionVerdict {
    /// Which openings the route accepts.
    pub acceptance: Acceptance,
    /// How the route chooses the kind of upstream link.
    pub rule: LinkRule,
    /// How the client opened it.
    pub opening: Opening,
    /// The kind of upstream link.
    pub link: Link,
    /// The mode in force.
    pub mode: Mode,
}

impl Observer {
    /// Creates an observer with the inventory of an earlier run.
    pub fn with(inventory: Inventory) -> Observer {
        Observer { inventory, ..Observer::default() }
    }

    /// Opens the record of a connection.
    #[must_use]
    pub fn open(self: &Arc<Self>, peer: SocketAddr, route: &Arc<RouteRecord>) -> Record {
        let info = ConnectionInfo {
            id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            peer,
            destination: None,
            route: Arc::clone(route),
            accepted: Instant::now(),
            opening: None,
            mode: None,
            generation: 0,
            turned_away: None,
            tls: None,
            upstream: None,
        };
        Record { observer: Arc::clone(self), info: Some(Box::new(info)) }
    }

    /// Number of connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.last_id.load(Ordering::Relaxed)
    }

    /// Number of connections that ended with this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.counts[outcome as usize].load(Ordering::Relaxed)
    }

    /// Logs how many lines about connections were left out since the last call. Must be called every second.
    pub fn summarize(&self) {
        self.access_log.summarize();
    }

    /// Returns the clients that `requireSSL` would refuse: those of [`Inventory::plaintext_blockers`], and plaintext
    /// connections whose client has not sent a complete message yet.
    pub fn plaintext_blockers(&self, window: Duration, now: i64) -> Vec<BlockingClient> {
        self.inventory.plaintext_blockers(window, now, &self.open_connections.unheard())
    }

    /// As [`Inventory::accept`]. A connected client that has not sent a complete message yet also counts as seen.
    ///
    /// # Errors
    /// Those of [`Inventory::accept`].
    pub fn accept(&self, identity: ClientIdentity, accepted: bool, unseen: bool) -> Result<bool, AcceptError> {
        let unheard = self.open_connections.unheard().into_keys().any(|ip| identity.includes_nameless(ip));
        Ok(self.inventory.accept(identity, accepted, unseen || unheard)? || unheard)
    }

    /// Counts and logs an ended connection.
    fn ended(&self, connection: EndedConnection) {
        self.counts[connection.outcome() as usize].fetch_add(1, Ordering::Relaxed);
        self.access_log.write(connection);
    }
}

impl Record {
    /// The counts and latencies of the whole proxy.
    pub fn latencies(&self) -> &Metrics {
        &self.observer.metrics
    }

    /// The destinations of outbound routes of the whole proxy.
    pub fn links(&self) -> &Links {
        &self.observer.links
    }

    /// The properties of the connection known so far; `None` once it is closed or established.
    pub fn info(&self) -> Option<&ConnectionInfo> {
        self.info.as_deref()
    }

    /// Lists the connection as waiting for a slot until the entry is dropped.
    pub fn wait(&self) -> Option<QueueEntry> {
        Some(QueueEntry::new(Arc::clone(&self.observer.waiting), self.info()?))
    }

    /// Changes the properties of the connection.
    pub fn note(&mut self, note: impl FnOnce(&mut ConnectionInfo)) {
        if let Some(info) = &mut self.info {
            note(info);
        }
    }

    /// Adds the connection to the table of open connections, if the policy that accepted it is still in force. This is
    /// checked under the lock of the table. So if someone changes the policy and then reads the table, either the table
    /// has the connection, or this check has seen the change. Returns `None` if the policy is no longer in force, or
    /// the record is closed.
    pub fn establish(&mut self, judged: ConnectionVerdict, is_in_force: impl FnOnce() -> bool) -> Option<OpenRecord> {
        let ConnectionVerdict { acceptance, rule, opening, link, mode } = judged;
        let open = Arc::new(OpenConnection {
            info: self.info.take()?,
            acceptance,
            rule,
            opening,
            link,
            mode,
            counters: ByteCounters::default(),
            client: OnceLock::new(),
            opaque: AtomicBool::new(link == Link::Untouched),
            unanswered: AtomicBool::new(false),
            answered_at: AtomicU64::new(0),
            recycling: RecycleSignal::default(),
            ended: OnceLock::new(),
        });
        if !self.observer.open_connections.add_if(&open, is_in_force) {
            self.info = Arc::into_inner(open).map(|open| open.info);
            return None;
        }
        Some(OpenRecord { observer: Arc::clone(&self.observer), open, inventory_guard: None })
    }

    /// Records that a plaintext client was refused, with its metadata if it has sent any.
    pub fn turned_away(&mut self, client: Option<ClientMetadata>) {
        let Some(info) = &mut self.info else { return };
        info.turned_away = client.clone().map(Box::new);
        self.observer.inventory.refused(info.peer.ip(), client.unwrap_or_default(), now_millis());
    }

    /// Closes the record.
    pub fn close(mut self, outcome: Outcome, reason: Option<String>) {
        self.end(outcome, reason);
    }

    fn end(&mut self, outcome: Outcome, reason: Option<String>) {
        if let Some(info) = self.info.take() {
            info.count(outcome, (0, 0));
            self.observer.ended(EndedConnection::now(LoggedConnection::Refused(info), outcome, reason, (0, 0)));
        }
    }
}

impl OpenRecord {
    /// The connection's entry in the table of open connections.
    pub fn open(&self) -> &OpenConnection {
        &self.open
    }

    /// Records the client's first message; `greeting` is `None` if TLS is passed through. Later calls are ignored.
    ///
    /// Adds the client to the inventory, with two exceptions. On outbound routes, the only client is the local server.
    /// And TLS clients that have sent no request are not applications but port scanners, health checks and `openssl
    /// s_client`. A plaintext client that has sent any bytes is always counted, because `requireSSL` would refuse it.
    pub fn identify(&mut self, greeting: Option<Greeting>) {
        let open = &*self.open;
        let is_handshake_only = open.opening != Opening::Plaintext && greeting == Some(Greeting::NoRequest);
        let client = match greeting {
            Some(Greeting::Hello(client)) => Some(client),
            Some(Greeting::Request | Greeting::NoRequest) | None => None,
        };
        let is_identified = open.client.set(client.clone().map(Box::new)).is_err();
        if is_identified || is_handshake_only || open.acceptance == Acceptance::Outbound {
            return;
        }
        let kind = match (open.opening, open.tls_version()) {
            (Opening::Plaintext, _) => Transport::Plaintext,
            (_, Some("TLS1.2")) => Transport::Tls12,
            (_, Some("TLS1.3")) => Transport::Tls13,
            (Opening::Tls | Opening::OldTls | Opening::Sslv2, _) => Transport::Tls,
        };
        let client = client.unwrap_or_default();
        self.inventory_guard = Some(self.observer.inventory.open(open.peer.ip(), kind, client, now_millis()));
    }

    /// Closes the record.
    pub fn close(mut self, outcome: Outcome, reason: Option<String>) {
        self.end(outcome, reason);
    }

    fn end(&mut self, outcome: Outcome, reason: Option<String>) {
        if self.open.ended.get().is_some() {
            return;
        }
        self.identify(Some(Greeting::NoRequest));
        let (open, counters) = (&*self.open, &self.open.counters);
        let bytes = (counters.inbound.load(Ordering::Relaxed), counters.outbound.load(Ordering::Relaxed));
        self.observer.open_connections.remove(open.id, || open.info.count(outcome, bytes));
        let _ = open.ended.set(outcome);
        // The log may keep the record for a while, but not the memory of the connection's task.
        open.recycling.forget_task();
        let connection = LoggedConnection::Established(Arc::clone(&self.open));
        self.observer.ended(EndedConnection::now(connection, outcome, reason, bytes));
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end(Outcome::Internal, None);
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        self.end(Outcome::Internal, None);
    }
}
