//! What monitoring gets: the counts that the data plane keeps, and what only the control plane knows.

use std::sync::atomic::Ordering;

use super::controller::Controller;
use crate::net::SlotUsage;
use crate::telemetry::{CertificateEnd, Format, LinkUp, SlotGauges, UpstreamUp, now_millis};
use crate::tls::{handshake_bytes, in_force};

impl Controller {
    /// Complete TLS handshakes with clients: 1.2, 1.3, any other.
    #[must_use]
    pub fn handshakes(&self) -> [u64; 3] {
        self.observer.metrics.handshakes()
    }

    /// Connections accepted since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.observer.accepted()
    }

    /// The metrics, as text.
    #[must_use]
    pub fn metrics(&self, format: Format) -> String {
        let snapshot = self.snapshot();
        let metrics = &self.observer.metrics;
        let (mut scrape, open) =
            self.observer.open_connections.list_with(|| metrics.begin(snapshot.mode, snapshot.generation));
        scrape.non_conforming = self.pending_non_conforming() as u64;
        for open in open {
            let (inbound, outbound) = (&open.counters.inbound, &open.counters.outbound);
            let bytes = (inbound.load(Ordering::Relaxed), outbound.load(Ordering::Relaxed));
            scrape.open(&open.route.name, open.opening, bytes.0, bytes.1);
            scrape.non_conforming += u64::from(self.misfit(&open, &snapshot).is_some());
        }
        let ends = in_force(snapshot.tls.items(), now_millis() / 1000).filter_map(|one| Some((one.role, one.ends?)));
        scrape.certificates =
            ends.map(|(role, not_after)| CertificateEnd { role: role.to_string(), not_after }).collect();
        let refused = self.refusals.standing();
        (scrape.rotation_refused, scrape.reload_refused) = (refused.rotation.is_some(), refused.reload.is_some());
        let probed = self.prober.status().into_iter().filter(|server| !server.checked.is_empty());
        scrape.upstreams = probed
            .map(|server| UpstreamUp { route: server.route.into(), upstream: server.upstream.into(), up: server.up })
            .collect();
        let link = |(route, destination, up)| LinkUp { route, destination, up };
        scrape.links = self.link_rows().iter().map(|row| link(row.sample())).collect();
        let inventory = self.inventory_status();
        scrape.inventory_rows = inventory.rows as u64;
        scrape.blocking_clients = inventory.unmoved as u64;
        scrape.lost_plaintext_rows = inventory.lost;
        scrape.bypass = self.bypassing().len() as u64;
        scrape.redirect = self.redirect.rules();
        scrape.log_lines_dropped = self.log.as_ref().map_or(0, |log| log.dropped() as u64);
        scrape.slots = self.listeners.slots().map(|(direction, slots)| slot_counts(direction, slots)).into();
        scrape.handshake_bytes = handshake_bytes().map(|bytes| bytes as u64);
        metrics.encode(scrape, format)
    }
}

fn slot_counts(direction: &'static str, slots: SlotUsage) -> SlotGauges {
    let SlotUsage { limit, used, silent, waiting, full: _ } = slots;
    let [limit, used, silent, waiting] = [limit, used, silent, waiting].map(|count| count as u64);
    SlotGauges { direction, limit, used, silent, waiting }
}
