//! One connection's record: opened at accept, closed exactly once, cancelled or not.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::inventory::{Inventory, Kind, Seat, now_millis};
use super::known::Known;
use super::limiter::Limiter;
use super::live::{Live, Open};
use super::metrics::{Metrics, RouteMetrics};
use super::outcome::{Fault, Outcome};
use super::recycling::Recycling;
use crate::mongo::Client;
use crate::net::Counters;
use crate::policy::{Acceptance, Link, LinkRule, Opening};
use crate::text::printable;

/// Who keeps the records of one proxy.
#[derive(Debug, Default)]
pub struct Observer {
    /// The open connections.
    pub live: Live,
    /// Who was seen.
    pub inventory: Inventory,
    /// What monitoring reads.
    pub metrics: Metrics,
    last_id: AtomicU64,
    counts: [AtomicU64; Outcome::ALL.len()],
    limiter: Limiter,
}

/// One connection's record. Dropped without [`Record::close`], it is closed as an internal fault.
#[derive(Debug)]
pub struct Record {
    observer: Arc<Observer>,
    stage: Stage,
    /// Whether the inventory has heard of it.
    counted: bool,
    closed: bool,
    seat: Option<Seat>,
}

/// Where what is known of a connection is kept.
#[derive(Debug)]
enum Stage {
    /// It is not established, and there is more to be known.
    Before(Box<Known>),
    /// In its place in the table of open connections.
    Open(Arc<Open>),
}

impl Observer {
    /// One that has seen these already.
    #[must_use]
    pub fn with(inventory: Inventory) -> Observer {
        Observer { inventory, ..Observer::default() }
    }

    /// Opens the record of a connection.
    #[must_use]
    pub fn open(self: &Arc<Self>, peer: SocketAddr, route: &Arc<str>, metrics: &Arc<RouteMetrics>) -> Record {
        let known = Known {
            id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            peer,
            route: Arc::clone(route),
            metrics: Arc::clone(metrics),
            accepted: Instant::now(),
            opening: None,
            mode: None,
            generation: 0,
            turned_away: None,
            tls: None,
            upstream: None,
            upstream_local: None,
            upstream_tls: None,
        };
        let stage = Stage::Before(Box::new(known));
        Record { observer: Arc::clone(self), stage, counted: false, closed: false, seat: None }
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
}

impl Record {
    /// How long ago it was accepted.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.known().accepted.elapsed()
    }

    /// What monitoring reads of the whole proxy.
    #[must_use]
    pub fn latencies(&self) -> &Metrics {
        &self.observer.metrics
    }

    /// What is known of it.
    #[must_use]
    pub fn known(&self) -> &Known {
        match &self.stage {
            Stage::Before(known) => known,
            Stage::Open(open) => &open.known,
        }
    }

    /// Notes what has become known. An established connection is known: nothing is noted of it any more.
    pub fn note(&mut self, note: impl FnOnce(&mut Known)) {
        if let Stage::Before(known) = &mut self.stage {
            note(known);
        }
    }

    /// The connection has both its legs: it goes into the table of open ones. None if it was never judged.
    pub fn establish(&mut self, acceptance: Acceptance, rule: LinkRule, link: Link) -> Option<Arc<Open>> {
        let Stage::Before(known) = &mut self.stage else { return None };
        let (Some(opening), Some(mode)) = (known.opening, known.mode) else { return None };
        let open = Arc::new(Open {
            known: known.take(),
            acceptance,
            rule,
            opening,
            link,
            mode,
            since: Instant::now(),
            counters: Counters::default(),
            client: OnceLock::new(),
            opaque: AtomicBool::new(link == Link::Untouched),
            recycling: Recycling::default(),
            ended: OnceLock::new(),
        });
        self.observer.live.add(Arc::clone(&open));
        self.stage = Stage::Open(Arc::clone(&open));
        Some(open)
    }

    /// It is known who the client is, or that it does not say. To be called once; if it was not, it is counted as
    /// nameless when it ends. Outbound routes have no clients but the local server: they are not counted.
    pub fn identify(&mut self, client: Option<Client>) {
        let Stage::Open(open) = &self.stage else { return };
        if std::mem::replace(&mut self.counted, true) {
            return;
        }
        if let Some(client) = &client {
            // Set once: this is called once.
            let _ = open.client.set(Box::new(client.clone()));
        }
        if open.acceptance != Acceptance::Outbound {
            let kind = match (open.opening, open.tls_version()) {
                (Opening::Plaintext, _) => Kind::Plaintext,
                (_, Some("TLS1.2")) => Kind::Tls12,
                (_, Some("TLS1.3")) => Kind::Tls13,
                (Opening::Tls | Opening::OldTls | Opening::Sslv2, _) => Kind::Tls,
            };
            let client = client.unwrap_or_default();
            self.seat = self.observer.inventory.open(open.peer.ip(), kind, client, now_millis());
        }
    }

    /// A client without TLS was turned away; who it is, as far as it has said.
    pub fn turned_away(&mut self, client: Option<Client>) {
        self.note(|known| known.turned_away = client.clone().map(Box::new));
        self.observer.inventory.refused(self.known().peer.ip(), client.unwrap_or_default(), now_millis());
    }

    /// Closes it.
    pub fn close(mut self, outcome: Outcome, reason: Option<String>) {
        self.end(outcome, reason);
    }

    fn end(&mut self, outcome: Outcome, reason: Option<String>) {
        self.closed = true;
        self.identify(None);
        let known = self.known();
        let (mut bytes_in, mut bytes_out) = (0, 0);
        if let Stage::Open(open) = &self.stage {
            self.observer.live.remove(known.id);
            // Set once: a record ends once.
            let _ = open.ended.set(outcome);
            // After it has left the table: a scrape counts its bytes once.
            bytes_in = open.counters.inbound.load(Ordering::Relaxed);
            bytes_out = open.counters.outbound.load(Ordering::Relaxed);
        }
        known.metrics.closed(known.opening, known.tls_version(), outcome, bytes_in, bytes_out);
        self.observer.counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
        if self.observer.limiter.admits(outcome, Instant::now()) {
            self.write(outcome, reason, bytes_in, bytes_out);
        }
    }

    fn write(&self, outcome: Outcome, reason: Option<String>, bytes_in: u64, bytes_out: u64) {
        let text = |text: &Option<String>| text.as_deref().map(printable);
        let known = self.known();
        let tls = known.tls.as_deref();
        let open = if let Stage::Open(open) = &self.stage { Some(open) } else { None };
        let client = open.map_or(known.turned_away.as_deref(), |open| open.client.get().map(Box::as_ref));
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    id = known.id,
                    peer = %known.peer,
                    route = &*known.route,
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
                    upstream = known.upstream.as_deref(),
                    upstream_local = known.upstream_local.map(tracing::field::display),
                    upstream_link = open.map(|open| open.link.name()),
                    upstream_tls = known.upstream_tls,
                    bytes_in,
                    bytes_out,
                    duration_ms = u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX),
                    outcome = outcome.name(),
                    reason = text(&reason),
                    "connection"
                )
            };
        }
        match outcome.fault() {
            Fault::Internal => line!(error),
            Fault::None | Fault::Client | Fault::Policy | Fault::Upstream | Fault::Operator => {
                if outcome == Outcome::Probe { line!(debug) } else { line!(info) }
            }
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.closed {
            self.end(Outcome::Internal, None);
        }
    }
}
