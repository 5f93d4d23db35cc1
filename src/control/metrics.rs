//! The metrics: the counters of the data plane, and the gauges that only the control plane knows.

use std::sync::atomic::Ordering;

use super::links::{LinkHealth, links};
use super::view::View;
use crate::net::SlotUsage;
use crate::telemetry::{CertificateEnd, Format, LinkUp, SlotGauges, UpstreamUp, now_millis};
use crate::tls::{handshake_bytes, in_force};

/// The metrics as text in this format.
pub fn metrics(view: &View, format: Format) -> String {
    let snapshot = view.snapshot();
    let (observer, metrics) = (view.observer(), &view.observer().metrics);
    let (mut scrape, open) = observer.open_connections.list_with(|| metrics.begin(snapshot.mode, snapshot.generation));
    scrape.non_conforming = view.pending_non_conforming() as u64;
    for open in open {
        let (inbound, outbound) = (&open.counters.inbound, &open.counters.outbound);
        let bytes = (inbound.load(Ordering::Relaxed), outbound.load(Ordering::Relaxed));
        scrape.open(&open.route.name, open.opening, bytes.0, bytes.1);
        scrape.non_conforming += u64::from(view.conformance().check(&open, &snapshot).is_some());
    }
    let ends = in_force(snapshot.tls.items(), now_millis() / 1000).filter_map(|one| Some((one.role, one.ends?)));
    scrape.certificates = ends.map(|(role, not_after)| CertificateEnd { role: role.to_string(), not_after }).collect();
    let refused = view.refusals().standing();
    (scrape.rotation_refused, scrape.reload_refused) = (refused.rotation.is_some(), refused.reload.is_some());
    let probed = view.servers().into_iter().filter(|server| server.checked.is_some());
    scrape.upstreams = probed
        .map(|server| UpstreamUp { route: server.route.name(), upstream: server.upstream, up: server.up })
        .collect();
    let link =
        |link: LinkHealth| LinkUp { up: link.up(), route: link.key.route.name(), destination: link.key.destination };
    let now = now_millis();
    scrape.links = links(view).into_iter().filter(|link| !link.is_given_up(now)).map(link).collect();
    let inventory = view.inventory_counts();
    scrape.inventory_rows = inventory.rows as u64;
    scrape.blocking_clients = inventory.unmoved as u64;
    scrape.lost_plaintext_rows = inventory.lost;
    scrape.bypass = view.interception().bypass().len() as u64;
    scrape.redirect = view.interception().rules();
    scrape.log_lines_dropped = view.log().map_or(0, |log| log.dropped() as u64);
    scrape.slots = view.listeners().slots().map(|(direction, slots)| slot_counts(direction, slots)).into();
    scrape.handshake_bytes = handshake_bytes().map(|bytes| bytes as u64);
    metrics.encode(scrape, format)
}

fn slot_counts(direction: &'static str, slots: SlotUsage) -> SlotGauges {
    let SlotUsage { limit, used, silent, waiting, full: _ } = slots;
    let [limit, used, silent, waiting] = [limit, used, silent, waiting].map(|count| count as u64);
    SlotGauges { direction, limit, used, silent, waiting }
}
