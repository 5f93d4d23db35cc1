//! One connection's record: opened at accept, closed exactly once, cancelled or not.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::connection_info::{ConnectionInfo, RouteRecord};
use super::inventory::{BlockingClient, Inventory, InventoryGuard, Transport, now_millis};
use super::links::Links;
use super::metrics::Metrics;
use super::open_connections::{ByteCounters, OpenConnection, OpenConnections};
use super::outcome::{Outcome, OutcomeSource};
use super::rate_limit::Limiter;
use super::recycling::RecycleSignal;
use crate::mongo::{ClientMetadata, Greeting};
use crate::policy::{Acceptance, Link, LinkRule, Mode, Opening};
use crate::text::printable;

/// Who keeps the records of one proxy.
#[derive(Debug, Default)]
pub struct Observer {
    /// The open connections.
    pub open_connections: OpenConnections,
    /// Who was seen.
    pub inventory: Inventory,
    /// What monitoring reads.
    pub metrics: Metrics,
    /// Where outbound routes were dialled to.
    pub links: Links,
    last_id: AtomicU64,
    counts: [AtomicU64; Outcome::ALL.len()],
    limiter: Limiter,
}

/// The record of a connection that is not established. Dropped without [`Record::close`], it is closed as an internal
/// fault.
#[derive(Debug)]
pub struct Record {
    observer: Arc<Observer>,
    /// None once it is closed, or in its place among the open ones.
    known: Option<Box<ConnectionInfo>>,
}

/// The record of an established connection. Dropped without [`OpenRecord::close`], it is closed as an internal fault.
#[derive(Debug)]
pub struct OpenRecord {
    observer: Arc<Observer>,
    open: Arc<OpenConnection>,
    seat: Option<InventoryGuard>,
}

/// What a connection was judged by, and what came of it.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionVerdict {
    /// What the route does with openings.
    pub acceptance: Acceptance,
    /// How the route chooses its links.
    pub rule: LinkRule,
    /// How it opened.
    pub opening: Opening,
    /// What its upstream link is.
    pub link: Link,
    /// The mode.
    pub mode: Mode,
}

impl Observer {
    /// One that has seen these already.
    #[must_use]
    pub fn with(inventory: Inventory) -> Observer {
        Observer { inventory, ..Observer::default() }
    }

    /// Opens the record of a connection.
    #[must_use]
    pub fn open(self: &Arc<Self>, peer: SocketAddr, route: &Arc<RouteRecord>) -> Record {
        let known = ConnectionInfo {
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
        Record { observer: Arc::clone(self), known: Some(Box::new(known)) }
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.last_id.load(Ordering::Relaxed)
    }

    /// How many connections ended so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.counts[outcome as usize].load(Ordering::Relaxed)
    }

    /// Writes a line for what the bound on log lines has kept back. To be called every second.
    pub fn summarize(&self) {
        for (outcome, lines) in self.limiter.suppressed() {
            tracing::warn!(outcome = outcome.name(), connections = lines, "connection lines left out");
        }
    }

    /// The applications that `requireSSL` would turn away, as [`Inventory::plaintext_blockers`] has them, and clients that are
    /// connected without TLS and have not sent a whole message yet.
    #[must_use]
    pub fn plaintext_blockers(&self, window: Duration, now: i64) -> Vec<BlockingClient> {
        self.inventory.plaintext_blockers(window, now, &self.open_connections.unheard())
    }

    /// One has ended, after so many bytes, and is counted by its route.
    fn ended(
        &self,
        known: &ConnectionInfo,
        open: Option<&OpenConnection>,
        outcome: Outcome,
        reason: Option<String>,
        bytes: (u64, u64),
    ) {
        self.counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
        if self.limiter.admits(outcome, Instant::now()) {
            write(known, open, outcome, reason, bytes);
        }
    }
}

impl Record {
    /// What monitoring reads of the whole proxy.
    #[must_use]
    pub fn latencies(&self) -> &Metrics {
        &self.observer.metrics
    }

    /// Where outbound routes of the whole proxy were dialled to.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.observer.links
    }

    /// What is known of it.
    #[must_use]
    pub fn known(&self) -> Option<&ConnectionInfo> {
        self.known.as_deref()
    }

    /// Notes what has become known.
    pub fn note(&mut self, note: impl FnOnce(&mut ConnectionInfo)) {
        if let Some(known) = &mut self.known {
            note(known);
        }
    }

    /// The connection has both its legs: it goes into the table of open ones, if what it was judged by is still in force.
    /// That is asked under the lock of the table: whoever changes the policy and reads the table after that finds the
    /// connection there, or the connection finds the change. None if it is not in force, or the record is closed.
    pub fn establish(&mut self, judged: ConnectionVerdict, is_in_force: impl FnOnce() -> bool) -> Option<OpenRecord> {
        let ConnectionVerdict { acceptance, rule, opening, link, mode } = judged;
        let open = Arc::new(OpenConnection {
            known: self.known.take()?,
            acceptance,
            rule,
            opening,
            link,
            mode,
            counters: ByteCounters::default(),
            client: OnceLock::new(),
            opaque: AtomicBool::new(link == Link::Untouched),
            unanswered: AtomicBool::new(false),
            recycling: RecycleSignal::default(),
            ended: OnceLock::new(),
        });
        if !self.observer.open_connections.add_if(&open, is_in_force) {
            self.known = Arc::into_inner(open).map(|open| open.known);
            return None;
        }
        Some(OpenRecord { observer: Arc::clone(&self.observer), open, seat: None })
    }

    /// A client without TLS was turned away; who it is, as far as it has said.
    pub fn turned_away(&mut self, client: Option<ClientMetadata>) {
        let Some(known) = &mut self.known else { return };
        known.turned_away = client.clone().map(Box::new);
        self.observer.inventory.refused(known.peer.ip(), client.unwrap_or_default(), now_millis());
    }

    /// Closes it.
    pub fn close(mut self, outcome: Outcome, reason: Option<String>) {
        self.end(outcome, reason);
    }

    fn end(&mut self, outcome: Outcome, reason: Option<String>) {
        if let Some(known) = self.known.take() {
            known.count(outcome, (0, 0));
            self.observer.ended(&known, None, outcome, reason, (0, 0));
        }
    }
}

impl OpenRecord {
    /// Its place in the table of open connections.
    #[must_use]
    pub fn open(&self) -> &OpenConnection {
        &self.open
    }

    /// Notes what the client has sent first; `None` if its bytes are not ours to read. The first call counts.
    ///
    /// The client goes into the inventory, with two exceptions. Outbound routes have no clients but the local server. And a
    /// TLS client that has sent no request is no application: port scanners, health checks and `openssl s_client` end
    /// after the handshake. Without TLS, whatever sends bytes would be turned away by `requireSSL`, so it is counted.
    pub fn identify(&mut self, greeting: Option<Greeting>) {
        let open = &*self.open;
        let is_handshake_only = open.opening != Opening::Plaintext && greeting == Some(Greeting::NoRequest);
        let client = match greeting {
            Some(Greeting::Hello(client)) => Some(client),
            Some(Greeting::Request | Greeting::NoRequest) | None => None,
        };
        let known = open.client.set(client.clone().map(Box::new)).is_err();
        if known || is_handshake_only || open.acceptance == Acceptance::Outbound {
            return;
        }
        let kind = match (open.opening, open.tls_version()) {
            (Opening::Plaintext, _) => Transport::Plaintext,
            (_, Some("TLS1.2")) => Transport::Tls12,
            (_, Some("TLS1.3")) => Transport::Tls13,
            (Opening::Tls | Opening::OldTls | Opening::Sslv2, _) => Transport::Tls,
        };
        let client = client.unwrap_or_default();
        self.seat = Some(self.observer.inventory.open(open.peer.ip(), kind, client, now_millis()));
    }

    /// Closes it.
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
        self.observer.open_connections.remove(open.id, || open.known.count(outcome, bytes));
        // Set once: a record ends once.
        let _ = open.ended.set(outcome);
        self.observer.ended(&open.known, Some(open), outcome, reason, bytes);
    }
}

fn write(
    known: &ConnectionInfo,
    open: Option<&OpenConnection>,
    outcome: Outcome,
    reason: Option<String>,
    bytes: (u64, u64),
) {
    let text = |text: &Option<String>| text.as_deref().map(printable);
    let (tls, upstream) = (known.tls.as_deref(), known.upstream.as_deref());
    let client = open.map_or(known.turned_away.as_deref(), OpenConnection::client);
    let duration_ms = u64::try_from(known.accepted.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (bytes_in, bytes_out) = bytes;
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                id = known.id,
                peer = %known.peer,
                destination = known.destination.as_deref().map(tracing::field::display),
                route = &*known.route.name,
                opening = known.opening.map(Opening::name),
                versions_offered = tls.and_then(|tls| tls.versions_offered.as_deref()),
                tls_version = known.tls_version(),
                cipher = tls.and_then(|tls| tls.cipher.as_deref()),
                sni = tls.and_then(|tls| text(&tls.sni)),
                client_subject = tls.and_then(|tls| text(&tls.subject)),
                application = client.and_then(|client| text(&client.application)),
                driver = client.and_then(|client| text(&client.driver)),
                driver_version = client.and_then(|client| text(&client.driver_version)),
                mode = known.mode.map(tracing::field::display),
                generation = known.mode.map(|_| known.generation),
                upstream = upstream.map(|upstream| &*upstream.name),
                upstream_local = upstream.and_then(|upstream| upstream.local).map(tracing::field::display),
                upstream_link = open.map(|open| open.link.name()),
                upstream_tls = upstream.and_then(|upstream| upstream.tls_version),
                bytes_in,
                bytes_out,
                duration_ms,
                outcome = outcome.name(),
                reason = text(&reason),
                "connection"
            )
        };
    }
    match outcome.source() {
        OutcomeSource::Internal => line!(error),
        OutcomeSource::None
        | OutcomeSource::Client
        | OutcomeSource::Policy
        | OutcomeSource::Upstream
        | OutcomeSource::Operator => {
            if outcome == Outcome::Probe {
                line!(debug)
            } else {
                line!(info)
            }
        }
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
