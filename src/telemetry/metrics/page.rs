//! All metric families: names, help texts and series. Published names do not change.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::registry::{Registry, Unit};

use super::histogram::Latencies;
use super::route::{DIRECTIONS, KINDS, kind_number};
use super::scrape::{RouteSums, Scrape, SlotGauges};
use super::writer::{FamilyWriter, Format};
use crate::policy::{Mode, Opening, Spelling};
use crate::telemetry::process::ProcessFigures;

/// The values of all families.
#[derive(Debug)]
pub(super) struct MetricsPage {
    /// The sums of routes, by label.
    pub(super) sums: Vec<RouteSums>,
    /// Latencies of sniffing, handshakes with clients, handshakes with upstreams, dials.
    pub(super) latencies: [Latencies; 4],
    pub(super) process: ProcessFigures,
    /// When the process was started, in seconds since 1970.
    pub(super) started: Option<f64>,
    pub(super) scrape: Scrape,
}

/// Encodes a page.
pub(super) fn write(page: MetricsPage, format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(PageCollector { page, format }));
    let mut text = String::new();
    // Writing to a `String` does not fail.
    let _ = match format {
        Format::OpenMetrics => encode(&mut text, &registry),
        Format::Text => encode_registry(&mut text, &registry),
    };
    text
}

#[derive(Debug)]
struct PageCollector {
    page: MetricsPage,
    format: Format,
}

impl Collector for PageCollector {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        self.page.write(&mut FamilyWriter::new(encoder, self.format))
    }
}

impl MetricsPage {
    pub(super) fn write(&self, to: &mut FamilyWriter<'_>) -> fmt::Result {
        self.connections(to)?;
        self.bytes(to)?;
        self.latencies(to)?;
        self.policy(to)?;
        self.surroundings(to)?;
        self.inventory(to)?;
        self.process(to)
    }

    fn connections(&self, to: &mut FamilyWriter<'_>) -> fmt::Result {
        let ended = self.sums.iter().flat_map(|sum| {
            let route = &*sum.route.name;
            sum.route.ended().into_iter().map(move |ended| {
                let (kind, version) = (("kind", ended.kind), ("tls_version", ended.tls_version));
                ([("route", route), kind, version, ("outcome", ended.outcome)], ended.connections)
            })
        });
        to.counter(("tlsramp_connections", "Connections that have ended.", None), ended)?;

        let open = self.sums.iter().flat_map(|sum| {
            let kinds = KINDS.into_iter().zip(sum.open).enumerate();
            // Plaintext and TLS are shown even if zero, so that graphs show the first connection. The other kinds are
            // rare.
            let shown = kinds.filter(|(number, (_, open))| *open > 0 || is_usual(*number));
            shown.map(|(_, (kind, open))| ([("route", &*sum.route.name), ("kind", kind)], open))
        });
        to.gauge(("tlsramp_open_connections", "Connections that are established on both legs.", None), open)?;

        let help = "Open connections that the mode and certificates in force would not allow.";
        to.gauge(("tlsramp_non_conforming_connections", help, None), [([], self.scrape.non_conforming)])?;
        self.slots(to)
    }

    fn slots(&self, to: &mut FamilyWriter<'_>) -> fmt::Result {
        let series = |value: fn(&SlotGauges) -> u64| {
            self.scrape.slots.iter().map(move |slots| ([("direction", slots.direction)], value(slots)))
        };
        let help = "Maximum number of connections served at a time.";
        to.gauge(("tlsramp_connection_slots", help, None), series(|slots| slots.limit))?;
        let help = "Connection slots in use, including connections that are not established yet.";
        to.gauge(("tlsramp_connection_slots_used", help, None), series(|slots| slots.used))?;
        let help = "Connections with a slot whose client has sent no byte yet.";
        to.gauge(("tlsramp_silent_connections", help, None), series(|slots| slots.silent))?;
        let help = "Connections that wait for a slot.";
        to.gauge(("tlsramp_waiting_connections", help, None), series(|slots| slots.waiting))?;
        let [client, upstream] = self.scrape.handshake_bytes;
        let help = "Bytes received in TLS handshakes in progress, from peers that are not authenticated yet.";
        let sides = [([("side", "client")], client), ([("side", "upstream")], upstream)];
        to.gauge(("tlsramp_handshake_held", help, Some(Unit::Bytes)), sides)
    }

    fn bytes(&self, to: &mut FamilyWriter<'_>) -> fmt::Result {
        let help = "Bytes relayed from clients (in) and to clients (out), including open connections.";
        let series = self.sums.iter().flat_map(|sum| {
            let directions = DIRECTIONS.into_iter().zip(sum.bytes);
            directions.map(|(direction, bytes)| ([("route", &*sum.route.name), ("direction", direction)], bytes))
        });
        to.counter(("tlsramp", help, Some(Unit::Bytes)), series)
    }

    fn latencies(&self, to: &mut FamilyWriter<'_>) -> fmt::Result {
        let [sniff, client, upstream, dial] = &self.latencies;
        let seconds = || Some(Unit::Seconds);
        let help = "Time from accept until the client's first bytes were classified, including the client's silence.";
        to.histogram(("tlsramp_sniff_duration", help, seconds()), [([], sniff)])?;
        let help = "Duration of successful TLS handshakes.";
        let sides = [([("side", "client")], client), ([("side", "upstream")], upstream)];
        to.histogram(("tlsramp_handshake_duration", help, seconds()), sides)?;
        let help = "Duration of successful connects to upstreams, including name resolution.";
        to.histogram(("tlsramp_dial_duration", help, seconds()), [([], dial)])
    }

    fn policy(&self, to: &mut FamilyWriter<'_>) -> fmt::Result {
        // The spelling of modes does not depend on the configuration.
        let modes = Mode::ALL.map(|mode| ([("mode", mode.name(Spelling::Ssl))], u64::from(mode == self.scrape.mode)));
        to.gauge(("tlsramp_mode", "1 for the mode in force, 0 for the others.", None), modes)?;
        let help = "Generation in force; increases by 1 with each change of mode, rotation or reload.";
        to.gauge(("tlsramp_generation", help, None), [([], self.scrape.generation)])
    }

    fn surroundings(&self, to: &mut FamilyWriter<'_>) -> fmt::Result {
        // Prometheus refuses a page on which a series occurs twice.
        let mut ends = BTreeMap::new();
        for certificate in &self.scrape.certificates {
            let end = ends.entry(&*certificate.role).or_insert(certificate.not_after);
            *end = certificate.not_after.min(*end);
        }
        let ends = ends.into_iter().map(|(role, end)| ([("role", role)], end));
        let help = "Earliest expiry time of the certificates, CAs or revocation lists in a file, by the option that \
             names the file.";
        to.gauge(("tlsramp_certificate_expiry_timestamp", help, Some(Unit::Seconds)), ends)?;
        let help = "Whether the last rotation was refused: the TLS files on disk are not those in force.";
        to.gauge(("tlsramp_rotation_refused", help, None), [([], u64::from(self.scrape.rotation_refused))])?;
        let help = "Whether the last reload was refused: the configuration on disk is not the one in force.";
        to.gauge(("tlsramp_reload_refused", help, None), [([], u64::from(self.scrape.reload_refused))])?;

        let servers = self.scrape.upstreams.iter();
        let servers: BTreeMap<_, _> = servers.map(|server| ((&*server.route, &*server.upstream), server.up)).collect();
        let servers = servers
            .into_iter()
            .map(|((route, upstream), up)| ([("route", route), ("upstream", upstream)], u64::from(up)));
        to.gauge(("tlsramp_upstream_up", "Whether the last probe was answered.", None), servers)?;

        let links = self.scrape.links.iter();
        let links: BTreeMap<_, _> = links.map(|link| ((&*link.route, &*link.destination), link.up)).collect();
        let links = links
            .into_iter()
            .map(|((route, destination), up)| ([("route", route), ("destination", destination)], u64::from(up)));
        let help = "Whether the last dial or probe of an outbound destination succeeded. Left out 5 minutes after the last \
                    failure, if nothing dials, probes or uses it any more.";
        to.gauge(("tlsramp_outbound_link_up", help, None), links)
    }

    fn inventory(&self, to: &mut FamilyWriter<'_>) -> fmt::Result {
        let scrape = &self.scrape;
        let help = "Rows of the inventory of clients.";
        to.gauge(("tlsramp_inventory_rows", help, None), [([], scrape.inventory_rows)])?;
        let help = "Clients that block requireSSL.";
        to.gauge(("tlsramp_blocking_clients", help, None), [([], scrape.blocking_clients)])?;
        let help = "Plaintext rows that the inventory lost to its size limit within the guard window.";
        to.gauge(("tlsramp_inventory_lost_plaintext_rows", help, None), [([], scrape.lost_plaintext_rows)])?;
        let help = "Connections of this host that bypass the proxy.";
        to.gauge(("tlsramp_bypass_connections", help, None), [([], scrape.bypass)])?;
        let help = "Whether the interception rules of a sidecar are in force; absent if none are expected.";
        let rules = scrape.redirect.map(|rules| ([], u64::from(rules)));
        to.gauge(("tlsramp_redirect_rules", help, None), rules)?;
        let help = "Log lines lost because the log's reader was too slow or the output failed.";
        to.counter(("tlsramp_log_lines_dropped", help, None), [([], scrape.log_lines_dropped)])
    }

    fn process(&self, to: &mut FamilyWriter<'_>) -> fmt::Result {
        let process = &self.process;
        to.info("tlsramp_build", "Version of tlsramp.", [("version", env!("CARGO_PKG_VERSION"))])?;
        // Standard names of all programs, without a prefix.
        let help = "Processor time, user and system.";
        to.counter(("process_cpu", help, Some(Unit::Seconds)), process.cpu_seconds.map(|value| ([], value)))?;
        let help = "Resident memory.";
        to.gauge(
            ("process_resident_memory", help, Some(Unit::Bytes)),
            process.resident_bytes.map(|value| ([], value)),
        )?;
        to.gauge(("process_open_fds", "Open file descriptors.", None), process.open_fds.map(|value| ([], value)))?;
        let help = "Maximum number of open file descriptors.";
        to.gauge(("process_max_fds", help, None), process.max_fds.map(|value| ([], value)))?;
        let help = "Start time of the process.";
        to.gauge(("process_start_time", help, Some(Unit::Seconds)), self.started.map(|value| ([], value)))
    }
}

fn is_usual(kind: usize) -> bool {
    [Opening::Plaintext, Opening::Tls].iter().any(|usual| kind_number(Some(*usual)) == kind)
}
