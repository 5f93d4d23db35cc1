//! The counts of one route, in fixed arrays: counting a connection that has ended updates three atomics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::policy::Opening;
use crate::telemetry::Outcome;

/// The counts of ended connections of a route, from [`super::Metrics::route`].
#[derive(Debug)]
pub struct RouteMetrics {
    /// The route's label.
    pub(super) name: Arc<str>,
    /// Number of ended connections, by kind, TLS version and outcome.
    ended: [[[AtomicU64; Outcome::ALL.len()]; VERSIONS.len()]; KINDS.len()],
    /// Bytes of ended connections, by direction.
    bytes: [AtomicU64; DIRECTIONS.len()],
    /// The largest totals in any scrape so far, by direction: see [`RouteMetrics::show`].
    shown: [AtomicU64; DIRECTIONS.len()],
}

/// The number of ended connections with the same kind, TLS version and outcome.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndedCount {
    pub(super) kind: &'static str,
    pub(super) tls_version: &'static str,
    pub(super) outcome: &'static str,
    pub(super) connections: u64,
}

impl RouteMetrics {
    pub(super) fn new(name: Arc<str>) -> RouteMetrics {
        RouteMetrics { name, ended: Default::default(), bytes: Default::default(), shown: Default::default() }
    }

    /// Counts an ended connection. `kind` is `None` if no opening was classified; `tls_version` is `None` if tlsramp
    /// had no TLS session with the client.
    ///
    /// Must be called once per connection. For a connection in the table of open connections, it must be called under
    /// the lock of the table while the connection is removed (see [`super::Metrics::begin`]).
    pub fn closed(
        &self,
        kind: Option<Opening>,
        tls_version: Option<&'static str>,
        outcome: Outcome,
        bytes_in: u64,
        bytes_out: u64,
    ) {
        self.ended[kind_number(kind)][version_number(tls_version)][outcome as usize].fetch_add(1, Ordering::Relaxed);
        for (bytes, more) in self.bytes.iter().zip([bytes_in, bytes_out]) {
            bytes.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// The counts that are not zero.
    pub(super) fn ended(&self) -> Vec<EndedCount> {
        let mut all = Vec::new();
        for (versions, kind) in self.ended.iter().zip(KINDS) {
            for (outcomes, tls_version) in versions.iter().zip(VERSIONS) {
                for (count, outcome) in outcomes.iter().zip(Outcome::ALL) {
                    let connections = count.load(Ordering::Relaxed);
                    if connections > 0 {
                        all.push(EndedCount { kind, tls_version, outcome: outcome.name(), connections });
                    }
                }
            }
        }
        all
    }

    /// The number of ended connections whose clients opened them in plaintext, and with TLS of any version.
    pub(super) fn ended_by_opening(&self) -> [u64; 2] {
        let kind = |opening| self.ended[kind_number(Some(opening))].iter().flatten();
        let sum = |opening| kind(opening).map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
        [sum(Opening::Plaintext), [Opening::Tls, Opening::OldTls, Opening::Sslv2].map(sum).iter().sum()]
    }

    /// The bytes of ended connections: in, out.
    pub(super) fn bytes(&self) -> [u64; DIRECTIONS.len()] {
        self.bytes.each_ref().map(|bytes| bytes.load(Ordering::Relaxed))
    }

    /// The totals to show in a scrape, never less than in an earlier scrape. The older of two concurrent scrapes may be
    /// answered last, and monitoring treats a falling counter as a restart.
    pub(super) fn show(&self, totals: [u64; DIRECTIONS.len()]) -> [u64; DIRECTIONS.len()] {
        let show = |direction: usize| {
            let before = self.shown[direction].fetch_max(totals[direction], Ordering::Relaxed);
            before.max(totals[direction])
        };
        [show(0), show(1)]
    }
}

/// The index of a kind in [`KINDS`].
pub(super) fn kind_number(kind: Option<Opening>) -> usize {
    match kind {
        None => 0,
        Some(Opening::Plaintext) => 1,
        Some(Opening::Tls) => 2,
        Some(Opening::OldTls) => 3,
        Some(Opening::Sslv2) => 4,
    }
}

fn version_number(version: Option<&'static str>) -> usize {
    let number = version.and_then(|version| VERSIONS.iter().position(|known| *known == version));
    number.unwrap_or(0)
}

/// Values of the label `kind`.
pub(super) const KINDS: [&str; 5] = ["none", "plaintext", "tls", "old_tls", "sslv2"];
/// Values of the label `tls_version`.
const VERSIONS: [&str; 3] = ["none", "TLS1.2", "TLS1.3"];
/// Values of the label `direction`: from the client, and to it.
pub(super) const DIRECTIONS: [&str; 2] = ["in", "out"];

#[cfg(test)]
mod tests {
    use super::{KINDS, RouteMetrics, VERSIONS, kind_number, version_number};
    use crate::policy::Opening;
    use crate::telemetry::Outcome;

    #[test]
    fn labels_are_the_names_that_logs_have() {
        for opening in [Opening::Plaintext, Opening::Tls, Opening::OldTls, Opening::Sslv2] {
            assert_eq!(KINDS[kind_number(Some(opening))], opening.name());
        }
        assert_eq!(KINDS[kind_number(None)], "none");
        for (version, label) in
            [(None, "none"), (Some("TLS1.2"), "TLS1.2"), (Some("TLS1.3"), "TLS1.3"), (Some("?"), "none")]
        {
            assert_eq!(VERSIONS[version_number(version)], label);
        }
    }

    #[test]
    fn only_what_has_happened_is_listed() {
        let route = RouteMetrics::new("inbound".into());
        assert!(route.ended().is_empty());
        route.closed(Some(Opening::Tls), Some("TLS1.3"), Outcome::Completed, 1, 2);
        route.closed(Some(Opening::Tls), Some("TLS1.3"), Outcome::Completed, 10, 20);
        route.closed(None, None, Outcome::Probe, 0, 0);
        let ended: Vec<_> = route.ended().iter().map(|e| (e.kind, e.tls_version, e.outcome, e.connections)).collect();
        assert_eq!(ended, [("none", "none", "probe", 1), ("tls", "TLS1.3", "completed", 2)]);
        assert_eq!((route.bytes(), route.ended_by_opening()), ([11, 22], [0, 2]));
    }

    #[test]
    fn what_was_told_does_not_fall() {
        let route = RouteMetrics::new("inbound".into());
        assert_eq!(route.show([5, 7]), [5, 7]);
        assert_eq!(route.show([4, 8]), [5, 8]);
    }
}
