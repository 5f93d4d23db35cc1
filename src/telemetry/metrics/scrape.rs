//! One answer to monitoring, while it is put together: what is so now, which only the control plane knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::route::{DIRECTIONS, KINDS, RouteMetrics, kind_number};
use crate::policy::{Mode, Opening};

/// What is so at the moment of a scrape. Begun by [`super::Metrics::begin`], then filled in.
#[derive(Debug)]
pub struct Scrape {
    /// The mode in force.
    pub mode: Mode,
    /// Its snapshot's number.
    pub generation: u64,
    /// Open connections that a connection of today would not be like.
    pub non_conforming: u64,
    /// Our certificates, CAs and revocation lists. Of one role the earliest end is told.
    pub certificates: Vec<CertificateEnd>,
    /// Whether the last rotation was refused.
    pub rotation_refused: bool,
    /// Whether the last reload was refused.
    pub reload_refused: bool,
    /// The servers that were probed, as many as the configuration names; those not probed yet are left out.
    pub upstreams: Vec<UpstreamUp>,
    /// The links to other servers, as many as are remembered.
    pub links: Vec<LinkUp>,
    /// Rows of the inventory.
    pub inventory_rows: u64,
    /// Its clients that stand in the way of `requireSSL`.
    pub blocking_clients: u64,
    /// Its plaintext rows that were lost to its bound, within the guard's window.
    pub lost_plaintext_rows: u64,
    /// Connections of this host that go around the proxy.
    pub bypass: u64,
    /// Whether the redirect rules are in force; none where none are expected.
    pub redirect: Option<bool>,
    /// Log lines dropped, since the start.
    pub log_lines_dropped: u64,
    /// The connection slots, by direction.
    pub slots: Vec<SlotCounts>,
    /// Bytes that handshakes under way hold: with clients, with upstreams.
    pub handshake_bytes: [u64; 2],
    closed: BTreeMap<Arc<str>, Bytes>,
    live: BTreeMap<Arc<str>, Live>,
}

/// The connection slots of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotCounts {
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// All.
    pub limit: u64,
    /// Those that are taken.
    pub used: u64,
    /// Of those, the ones whose client has sent no byte yet.
    pub silent: u64,
    /// Connections that wait for one.
    pub waiting: u64,
}

/// When a certificate of ours, a CA or a revocation list ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateEnd {
    /// What it is for: the option that names its file.
    pub role: String,
    /// Seconds since 1970.
    pub not_after: i64,
}

/// Whether a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamUp {
    /// The route that leads there.
    pub route: Arc<str>,
    /// Host and port, as configured.
    pub upstream: Arc<str>,
    /// Whether the last probe was answered.
    pub up: bool,
}

/// Whether a link to another server can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkUp {
    /// The outbound route.
    pub route: Arc<str>,
    /// Where it leads.
    pub destination: Arc<str>,
    /// Whether it could be made when that was last tried.
    pub up: bool,
}

/// A route at this moment.
#[derive(Debug)]
pub(super) struct RouteSums {
    pub(super) route: Arc<RouteMetrics>,
    /// Open connections, by kind.
    pub(super) open: [u64; KINDS.len()],
    /// Bytes of all its connections, as far as they are known now.
    pub(super) bytes: Bytes,
}

/// In and out.
type Bytes = [u64; DIRECTIONS.len()];

#[derive(Debug, Default)]
struct Live {
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
            live: BTreeMap::new(),
        }
    }

    /// Adds a connection that is open, with its bytes so far. To be called once for each.
    pub fn open(&mut self, route: &Arc<str>, kind: Opening, bytes_in: u64, bytes_out: u64) {
        if !self.live.contains_key(route) {
            self.live.insert(Arc::clone(route), Live::default());
        }
        let Some(live) = self.live.get_mut(route) else { return };
        live.open[kind_number(Some(kind))] += 1;
        add(&mut live.bytes, [bytes_in, bytes_out]);
    }

    /// What is known of each route, ended and open; names beyond the bound together, as `route` finds them.
    pub(super) fn by_route(&self, route: impl Fn(&Arc<str>) -> Arc<RouteMetrics>) -> Vec<RouteSums> {
        let mut sums: BTreeMap<Arc<str>, RouteSums> = BTreeMap::new();
        for name in self.closed.keys().chain(self.live.keys()) {
            let route = route(name);
            let bytes = self.closed.get(&route.name).copied().unwrap_or_default();
            sums.entry(Arc::clone(&route.name)).or_insert(RouteSums { route, open: [0; KINDS.len()], bytes });
        }
        for (name, live) in &self.live {
            let Some(sum) = sums.get_mut(&route(name).name) else { continue };
            add(&mut sum.open, live.open);
            add(&mut sum.bytes, live.bytes);
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
