//! Who keeps the metrics of one process: the routes' counts, and the latencies of each step.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::histogram::Histogram;
use super::page::Page;
use super::route::RouteMetrics;
use super::scrape::Scrape;
use super::writer::{Format, write};
use crate::limits::METRICS_ROUTES;
use crate::policy::Mode;
use crate::telemetry::process::{Process, started};

/// The metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    /// By label: at most [`METRICS_ROUTES`], and [`OTHER`].
    routes: Mutex<BTreeMap<Arc<str>, Arc<RouteMetrics>>>,
    sniff: Histogram,
    client_handshake: Histogram,
    upstream_handshake: Histogram,
    dial: Histogram,
    versions: [AtomicU64; HANDSHAKE_VERSIONS.len() + 1],
    /// When the process began. Read once: it is computed from a clock that is adjusted, and a start that moves is a
    /// restart to whoever reads it.
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
    /// The counts of a route, by its name in the configuration. Takes a lock: to be called once for a route, not for
    /// a connection. Beyond [`METRICS_ROUTES`] names, it is those of `other`.
    #[must_use]
    pub fn route(&self, name: &Arc<str>) -> Arc<RouteMetrics> {
        let mut routes = self.table();
        if let Some(known) = routes.get(name) {
            return Arc::clone(known);
        }
        let label = if routes.len() < METRICS_ROUTES { Arc::clone(name) } else { Arc::from(OTHER) };
        let fresh = || Arc::new(RouteMetrics::new(Arc::clone(&label)));
        Arc::clone(routes.entry(Arc::clone(&label)).or_insert_with(fresh))
    }

    /// It is known how a client opens, so long after its connection was accepted.
    pub fn sniffed(&self, took: Duration) {
        self.sniff.observe(took);
    }

    /// A handshake with a client is complete, of a version by [`crate::tls`]'s name.
    pub fn client_handshake(&self, version: Option<&'static str>, took: Duration) {
        self.client_handshake.observe(took);
        let place = version.and_then(|version| HANDSHAKE_VERSIONS.iter().position(|known| *known == version));
        self.versions[place.unwrap_or(HANDSHAKE_VERSIONS.len())].fetch_add(1, Ordering::Relaxed);
    }

    /// Complete handshakes with clients: TLS 1.2, TLS 1.3, any other.
    #[must_use]
    pub fn handshakes(&self) -> [u64; HANDSHAKE_VERSIONS.len() + 1] {
        self.versions.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// A handshake with an upstream is complete.
    pub fn upstream_handshake(&self, took: Duration) {
        self.upstream_handshake.observe(took);
    }

    /// An upstream is connected to, its name's resolution included.
    pub fn dialled(&self, took: Duration) {
        self.dial.observe(took);
    }

    /// Begins the answer to a scrape, and reads the bytes of connections that have ended. To be called while the table of
    /// open connections is locked, and with the list of that moment for [`Scrape::open`] (see
    /// [`crate::telemetry::OpenConnections::list_with`]): then each connection is counted once, and none is left out.
    #[must_use]
    pub fn begin(&self, mode: Mode, generation: u64) -> Scrape {
        let closed = self.table().values().map(|route| (Arc::clone(&route.name), route.bytes())).collect();
        Scrape::new(mode, generation, closed)
    }

    /// The text of a scrape.
    #[must_use]
    pub fn encode(&self, scrape: Scrape, format: Format) -> String {
        let sums = scrape.by_route(|name| self.route(name));
        let latencies =
            [&self.sniff, &self.client_handshake, &self.upstream_handshake, &self.dial].map(Histogram::read);
        write(Page { sums, latencies, process: Process::read(), started: self.started, scrape }, format)
    }

    /// All routes' counts, by label.
    pub(super) fn table(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<RouteMetrics>>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Versions that are counted apart.
const HANDSHAKE_VERSIONS: [&str; 2] = ["TLS1.2", "TLS1.3"];
/// The label of routes beyond the bound. A route of that name shares it.
const OTHER: &str = "other";
