//! The metrics of a process: the counts of routes, and the latencies of each step.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::histogram::Histogram;
use super::page::{MetricsPage, write};
use super::route::RouteMetrics;
use super::scrape::Scrape;
use super::writer::Format;
use crate::limits::METRICS_ROUTES;
use crate::policy::Mode;
use crate::telemetry::process::{ProcessFigures, started};

/// The metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    /// By label: at most [`METRICS_ROUTES`] routes, and [`OTHER`].
    routes: Mutex<BTreeMap<Arc<str>, Arc<RouteMetrics>>>,
    sniff: Histogram,
    client_handshake: Histogram,
    upstream_handshake: Histogram,
    dial: Histogram,
    versions: [AtomicU64; HANDSHAKE_VERSIONS.len() + 1],
    /// When the process was started. Read only once: the value is computed from a clock that may be adjusted, and
    /// monitoring treats a changed value as a restart.
    started: Option<f64>,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            routes: Mutex::default(),
            sniff: Histogram::default(),
            client_handshake: Histogram::default(),
            upstream_handshake: Histogram::default(),
            dial: Histogram::default(),
            versions: Default::default(),
            started: started(),
        }
    }
}

impl Metrics {
    /// The counts of a route, by its name in the configuration. Names beyond the first [`METRICS_ROUTES`] share the
    /// counts of `other`. Takes a lock, so call it once per route, not per connection.
    pub fn route(&self, name: &Arc<str>) -> Arc<RouteMetrics> {
        let mut routes = self.table();
        if let Some(known) = routes.get(name) {
            return Arc::clone(known);
        }
        let label = if routes.len() < METRICS_ROUTES { Arc::clone(name) } else { Arc::from(OTHER) };
        let fresh = || Arc::new(RouteMetrics::new(Arc::clone(&label)));
        Arc::clone(routes.entry(Arc::clone(&label)).or_insert_with(fresh))
    }

    /// Records the time from accept until the opening was classified.
    pub fn sniffed(&self, took: Duration) {
        self.sniff.observe(took);
    }

    /// Records a successful handshake with a client and its duration.
    pub fn client_handshake(&self, version: Option<&'static str>, took: Duration) {
        self.client_handshake.observe(took);
        let place = version.and_then(|version| HANDSHAKE_VERSIONS.iter().position(|known| *known == version));
        self.versions[place.unwrap_or(HANDSHAKE_VERSIONS.len())].fetch_add(1, Ordering::Relaxed);
    }

    /// Number of successful handshakes with clients: TLS 1.2, TLS 1.3, any other.
    pub fn handshakes(&self) -> [u64; HANDSHAKE_VERSIONS.len() + 1] {
        self.versions.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Records the duration of a successful handshake with an upstream.
    pub fn upstream_handshake(&self, took: Duration) {
        self.upstream_handshake.observe(took);
    }

    /// Records the duration of a successful dial, name resolution included.
    pub fn dialled(&self, took: Duration) {
        self.dial.observe(took);
    }

    /// Begins a scrape with the counts of ended connections. Must be called under the lock of the table of open
    /// connections (see [`crate::telemetry::open_connections::OpenConnections::list_with`]); the connections in the
    /// resulting list must be passed to [`Scrape::open`]. Each connection is then counted once.
    #[must_use]
    pub fn begin(&self, mode: Mode, generation: u64) -> Scrape {
        let closed = self.table().values().map(|route| (Arc::clone(&route.name), route.bytes())).collect();
        Scrape::new(mode, generation, closed)
    }

    /// The number of ended connections of a route whose clients opened them in plaintext, and with TLS.
    pub fn ended_by_opening(&self, route: &Arc<str>) -> [u64; 2] {
        self.table().get(route).map(|route| route.ended_by_opening()).unwrap_or_default()
    }

    /// Encodes a scrape.
    pub fn encode(&self, scrape: Scrape, format: Format) -> String {
        let sums = scrape.by_route(|name| self.route(name));
        let latencies =
            [&self.sniff, &self.client_handshake, &self.upstream_handshake, &self.dial].map(Histogram::read);
        write(MetricsPage { sums, latencies, process: ProcessFigures::read(), started: self.started, scrape }, format)
    }

    pub(super) fn table(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<RouteMetrics>>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// TLS versions that are counted separately.
const HANDSHAKE_VERSIONS: [&str; 2] = ["TLS1.2", "TLS1.3"];
/// The label of routes beyond the bound.
const OTHER: &str = "other";
