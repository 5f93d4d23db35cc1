//! One connection's record: opened at accept, closed exactly once, cancelled or not.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

use super::inventory::{Inventory, Kind, Seat, now_millis};
use super::limiter::Limiter;
use super::live::{Live, Open};
use super::metrics::{Metrics, RouteMetrics};
use super::outcome::{Fault, Outcome};
use super::recycling::Recycling;
use crate::mongo::Client;
use crate::net::Counters;
use crate::policy::{Acceptance, Link, LinkRule, Mode, Opening};
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

/// What is known of one connection. Dropped without [`Record::close`], it is closed as an internal fault.
#[derive(Debug)]
pub struct Record {
    observer: Arc<Observer>,
    id: u64,
    peer: SocketAddr,
    /// The route's name.
    pub route: Arc<str>,
    /// The counts of that route.
    pub metrics: Arc<RouteMetrics>,
    accepted: Instant,
    counters: Arc<Counters>,
    /// Its place in the table of open connections, once it has one.
    open: Option<Arc<Open>>,
    /// Whether the inventory has heard of it.
    counted: bool,
    seat: Option<Seat>,
    client: Option<Client>,
    outcome: Outcome,
    reason: Option<String>,
    /// How it opened.
    pub opening: Option<Opening>,
    /// The versions that a refused client offered.
    pub versions_offered: Option<String>,
    /// The version agreed on with the client.
    pub tls_version: Option<&'static str>,
    /// The cipher suite agreed on with the client.
    pub cipher: Option<String>,
    /// The name the client asked for.
    pub sni: Option<String>,
    /// The subject of the client's certificate, verified.
    pub client_subject: Option<String>,
    /// That certificate and its chain.
    pub client_chain: Option<Arc<[CertificateDer<'static>]>>,
    /// Mode and generation it was judged by.
    pub judged: Option<(Mode, u64)>,
    /// Where it was to go.
    pub upstream: Option<Arc<str>>,
    /// Our own address on the upstream link: what the server sees as its client.
    pub upstream_local: Option<SocketAddr>,
    /// The version agreed on with the upstream.
    pub upstream_tls: Option<&'static str>,
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
        Record {
            observer: Arc::clone(self),
            id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            peer,
            route: Arc::clone(route),
            metrics: Arc::clone(metrics),
            accepted: Instant::now(),
            counters: Arc::default(),
            open: None,
            counted: false,
            seat: None,
            client: None,
            outcome: Outcome::Internal,
            reason: None,
            opening: None,
            versions_offered: None,
            tls_version: None,
            cipher: None,
            sni: None,
            client_subject: None,
            client_chain: None,
            judged: None,
            upstream: None,
            upstream_local: None,
            upstream_tls: None,
        }
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
        self.accepted.elapsed()
    }

    /// What monitoring reads of the whole proxy.
    #[must_use]
    pub fn latencies(&self) -> &Metrics {
        &self.observer.metrics
    }

    /// The counters that the relay fills.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// The connection has both its legs: it goes into the table of open ones. None if it was never judged.
    pub fn establish(&mut self, acceptance: Acceptance, rule: LinkRule, link: Link) -> Option<Arc<Open>> {
        let (Some(opening), Some((mode, generation))) = (self.opening, self.judged) else { return None };
        let open = Arc::new(Open {
            id: self.id,
            peer: self.peer,
            route: Arc::clone(&self.route),
            acceptance,
            rule,
            opening,
            link,
            tls_version: self.tls_version,
            client_subject: self.client_subject.clone(),
            client_chain: self.client_chain.clone(),
            upstream: self.upstream.clone(),
            upstream_local: self.upstream_local,
            mode,
            generation,
            since: Instant::now(),
            counters: Arc::clone(&self.counters),
            client: OnceLock::new(),
            opaque: AtomicBool::new(link == Link::Untouched),
            recycling: Recycling::default(),
            ended: OnceLock::new(),
        });
        self.observer.live.add(Arc::clone(&open));
        self.open = Some(Arc::clone(&open));
        Some(open)
    }

    /// It is known who the client is, or that it does not say. To be called once; if it was not, it is counted as
    /// nameless when it ends. Outbound routes have no clients but the local server: they are not counted.
    pub fn identify(&mut self, client: Option<Client>) {
        self.client.clone_from(&client);
        let Some(open) = self.open.as_ref().filter(|_| !self.counted) else { return };
        if let Some(client) = &client {
            // Set once: this is called once.
            let _ = open.client.set(client.clone());
        }
        self.counted = true;
        if open.acceptance != Acceptance::Outbound {
            let kind = match (open.opening, open.tls_version) {
                (Opening::Plaintext, _) => Kind::Plaintext,
                (_, Some("TLS1.2")) => Kind::Tls12,
                (_, Some("TLS1.3")) => Kind::Tls13,
                (Opening::Tls | Opening::OldTls | Opening::Sslv2, _) => Kind::Tls,
            };
            let client = client.unwrap_or_default();
            self.seat = self.observer.inventory.open(self.peer.ip(), kind, client, now_millis());
        }
    }

    /// A client without TLS was turned away; who it is, as far as it has said.
    pub fn turned_away(&mut self, client: Option<Client>) {
        self.client.clone_from(&client);
        self.observer.inventory.refused(self.peer.ip(), client.unwrap_or_default(), now_millis());
    }

    /// Closes it.
    pub fn close(mut self, outcome: Outcome, reason: Option<String>) {
        self.outcome = outcome;
        self.reason = reason;
    }

    fn write(&self) {
        let peer_text = |text: &Option<String>| text.as_deref().map(printable);
        let fields = (peer_text(&self.sni), peer_text(&self.client_subject), peer_text(&self.reason));
        let (sni, client_subject, reason) = fields;
        let client = self.client.as_ref();
        let application = client.and_then(|client| peer_text(&client.application));
        let driver = client.and_then(|client| peer_text(&client.driver));
        let driver_version = client.and_then(|client| peer_text(&client.driver_version));
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    id = self.id,
                    peer = %self.peer,
                    route = &*self.route,
                    opening = self.opening.map(Opening::name),
                    versions_offered = self.versions_offered,
                    tls_version = self.tls_version,
                    cipher = self.cipher,
                    sni,
                    client_subject,
                    application,
                    driver,
                    driver_version,
                    mode = self.judged.map(|(mode, _)| tracing::field::display(mode)),
                    generation = self.judged.map(|(_, generation)| generation),
                    upstream = self.upstream.as_deref(),
                    upstream_local = self.upstream_local.map(tracing::field::display),
                    upstream_link = self.open.as_ref().map(|open| open.link.name()),
                    upstream_tls = self.upstream_tls,
                    bytes_in = self.counters.inbound.load(Ordering::Relaxed),
                    bytes_out = self.counters.outbound.load(Ordering::Relaxed),
                    duration_ms = u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(u64::MAX),
                    outcome = self.outcome.name(),
                    reason,
                    "connection"
                )
            };
        }
        match self.outcome.fault() {
            Fault::Internal => line!(error),
            Fault::None | Fault::Client | Fault::Policy | Fault::Upstream | Fault::Operator => {
                if self.outcome == Outcome::Probe { line!(debug) } else { line!(info) }
            }
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.open.is_some() && !self.counted {
            self.identify(None);
        }
        if let Some(open) = &self.open {
            self.observer.live.remove(self.id);
            // Set once: a record is dropped once.
            let _ = open.ended.set(self.outcome);
        }
        // After it has left the table: a scrape counts its bytes once.
        let counters = &self.counters;
        let (bytes_in, bytes_out) =
            (counters.inbound.load(Ordering::Relaxed), counters.outbound.load(Ordering::Relaxed));
        self.metrics.closed(self.opening, self.tls_version, self.outcome, bytes_in, bytes_out);
        self.observer.counts[self.outcome as usize].fetch_add(1, Ordering::Relaxed);
        if self.observer.limiter.admits(self.outcome, Instant::now()) {
            self.write();
        }
    }
}
