//! One scrape: the gauges of the control plane, and the counts when the scrape began.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::route::{DIRECTIONS, KINDS, RouteMetrics, kind_number};
use crate::policy::{Mode, Opening};

/// The gauges of a scrape. [`super::Metrics::begin`] creates it; the control plane fills it in.
#[derive(Debug)]
pub struct Scrape {
    /// The mode in force.
    pub mode: Mode,
    /// The generation of the snapshot in force.
    pub generation: u64,
    /// Number of open connections that do not conform to the policy in force.
    pub non_conforming: u64,
    /// Certificates of ours, CAs and CRLs. The earliest expiry time of each role is shown.
    pub certificates: Vec<CertificateEnd>,
    /// Whether the last rotation was refused.
    pub rotation_refused: bool,
    /// Whether the last reload was refused.
    pub reload_refused: bool,
    /// The configured servers that are probed.
    pub upstreams: Vec<UpstreamUp>,
    /// The destinations of outbound routes.
    pub links: Vec<LinkUp>,
    /// Number of rows in the inventory.
    pub inventory_rows: u64,
    /// Number of clients that block `requireSSL`.
    pub blocking_clients: u64,
    /// Number of plaintext rows that were lost to the bound within the guard window.
    pub lost_plaintext_rows: u64,
    /// Number of connections of this host that bypass the proxy.
    pub bypass: u64,
    /// Whether the interception rules are in force; `None` if none are expected.
    pub redirect: Option<bool>,
    /// Number of log lines lost since the start.
    pub log_lines_dropped: u64,
    /// The connection slots of each direction.
    pub slots: Vec<SlotGauges>,
    /// Bytes held by handshakes in progress: with clients, with upstreams.
    pub handshake_bytes: [u64; 2],
    closed: BTreeMap<Arc<str>, Bytes>,
    open: BTreeMap<Arc<str>, OpenSums>,
}

/// The connection slots of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotGauges {
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// The connection limit.
    pub limit: u64,
    /// Slots in use.
    pub used: u64,
    /// Slots in use by clients that have sent no byte yet.
    pub silent: u64,
    /// Connections that wait for a slot.
    pub waiting: u64,
}

/// When a certificate of ours, a CA or a CRL expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateEnd {
    /// The option that names its file.
    pub role: String,
    /// The expiry time, in seconds since 1970.
    pub not_after: i64,
}

/// Whether a server answered the last probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamUp {
    /// The route.
    pub route: Arc<str>,
    /// Host and port, as configured.
    pub upstream: Arc<str>,
    /// Whether the last probe was answered.
    pub up: bool,
}

/// Whether a destination of an outbound route can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkUp {
    /// The outbound route.
    pub route: Arc<str>,
    /// The destination.
    pub destination: Arc<str>,
    /// Whether the last dial or probe succeeded.
    pub up: bool,
}

/// The sums of a route.
#[derive(Debug)]
pub(super) struct RouteSums {
    pub(super) route: Arc<RouteMetrics>,
    /// Number of open connections, by kind.
    pub(super) open: [u64; KINDS.len()],
    /// Bytes of all connections of the route so far.
    pub(super) bytes: Bytes,
}

/// Bytes by direction: in, out.
type Bytes = [u64; DIRECTIONS.len()];

#[derive(Debug, Default)]
struct OpenSums {
    open: [u64; KINDS.len()],
    bytes: Bytes,
}

impl Scrape {
    pub(super) fn new(mode: Mode, generation: u64, closed: BTreeMap<Arc<str>, Bytes>) -> Scrape {
        Scrape {
            mode,
            generation,
            non_conforming: 0,
            certificates: Vec::new(),
            rotation_refused: false,
            reload_refused: false,
            upstreams: Vec::new(),
            links: Vec::new(),
            inventory_rows: 0,
            blocking_clients: 0,
            lost_plaintext_rows: 0,
            bypass: 0,
            redirect: None,
            log_lines_dropped: 0,
            slots: Vec::new(),
            handshake_bytes: [0; 2],
            closed,
            open: BTreeMap::new(),
        }
    }

    /// Adds an open connection with its bytes so far. Must be called once per connection.
    pub fn open(&mut self, route: &Arc<str>, kind: Opening, bytes_in: u64, bytes_out: u64) {
        if !self.open.contains_key(route) {
            self.open.insert(Arc::clone(route), OpenSums::default());
        }
        let Some(sums) = self.open.get_mut(route) else { return };
        sums.open[kind_number(Some(kind))] += 1;
        add(&mut sums.bytes, [bytes_in, bytes_out]);
    }

    /// The sums of each route over ended and open connections.
    pub(super) fn by_route(&self, route: impl Fn(&Arc<str>) -> Arc<RouteMetrics>) -> Vec<RouteSums> {
        let mut sums: BTreeMap<Arc<str>, RouteSums> = BTreeMap::new();
        for name in self.closed.keys().chain(self.open.keys()) {
            let route = route(name);
            let bytes = self.closed.get(&route.name).copied().unwrap_or_default();
            sums.entry(Arc::clone(&route.name)).or_insert(RouteSums { route, open: [0; KINDS.len()], bytes });
        }
        for (name, open) in &self.open {
            let Some(sum) = sums.get_mut(&route(name).name) else { continue };
            add(&mut sum.open, open.open);
            add(&mut sum.bytes, open.bytes);
        }
        for sum in sums.values_mut() {
            sum.bytes = sum.route.show(sum.bytes);
        }
        sums.into_values().collect()
    }
}

fn add<const N: usize>(to: &mut [u64; N], more: [u64; N]) {
    for (to, more) in to.iter_mut().zip(more) {
        *to = to.saturating_add(more);
    }
}
