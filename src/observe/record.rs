//! One connection's record: opened at accept, closed exactly once, cancelled or not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::limiter::Limiter;
use super::live::{Live, Open};
use super::outcome::{Fault, Outcome};
use crate::net::Counters;
use crate::policy::{Link, Mode, Opening};
use crate::text::printable;

/// Who keeps the records of one proxy.
#[derive(Debug, Default)]
pub struct Observer {
    /// The open connections.
    pub live: Live,
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
    accepted: Instant,
    counters: Arc<Counters>,
    established: Option<Link>,
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
    /// Opens the record of a connection.
    #[must_use]
    pub fn open(self: &Arc<Self>, peer: SocketAddr, route: &Arc<str>) -> Record {
        Record {
            observer: Arc::clone(self),
            id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            peer,
            route: Arc::clone(route),
            accepted: Instant::now(),
            counters: Arc::default(),
            established: None,
            outcome: Outcome::Internal,
            reason: None,
            opening: None,
            versions_offered: None,
            tls_version: None,
            cipher: None,
            sni: None,
            client_subject: None,
            judged: None,
            upstream: None,
            upstream_local: None,
            upstream_tls: None,
        }
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
    /// The counters that the relay fills.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// The connection has both its legs: it goes into the table of open ones.
    pub fn establish(&mut self, link: Link) {
        let (Some(opening), Some((mode, generation))) = (self.opening, self.judged) else { return };
        self.established = Some(link);
        self.observer.live.add(Open {
            id: self.id,
            peer: self.peer,
            route: Arc::clone(&self.route),
            opening,
            link,
            mode,
            generation,
            since: Instant::now(),
            counters: Arc::clone(&self.counters),
        });
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
                    mode = self.judged.map(|(mode, _)| tracing::field::display(mode)),
                    generation = self.judged.map(|(_, generation)| generation),
                    upstream = self.upstream.as_deref(),
                    upstream_local = self.upstream_local.map(tracing::field::display),
                    upstream_link = self.established.map(Link::name),
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
        if self.established.is_some() {
            self.observer.live.remove(self.id);
        }
        self.observer.counts[self.outcome as usize].fetch_add(1, Ordering::Relaxed);
        if self.observer.limiter.admits(self.outcome, Instant::now()) {
            self.write();
        }
    }
}
