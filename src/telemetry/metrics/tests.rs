//! Tests of the metrics page: its format, that events are counted once, and that its size is bounded.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::scrape::Scrape;
use super::{CertificateEnd, Format, LinkUp, Metrics, UpstreamUp};
use crate::limits::METRICS_ROUTES;
use crate::policy::{Acceptance, Link, LinkRule, Mode, Opening};
use crate::route::RouteId;
use crate::telemetry::{ConnectionVerdict, Observer, Outcome, RouteRecord};

const INBOUND: &str = "inbound";

fn begin(metrics: &Metrics) -> Scrape {
    metrics.begin(Mode::Prefer, 3)
}

fn text(metrics: &Metrics) -> String {
    metrics.encode(begin(metrics), Format::OpenMetrics)
}

/// The value of the series whose text is `series`.
fn value(text: &str, series: &str) -> Option<f64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = lines.next().map(|value| value.parse().unwrap());
    assert!(lines.next().is_none(), "{series} is there twice");
    value
}

/// A page on which every family has a value.
fn full(format: Format) -> String {
    let metrics = Metrics::default();
    let route = metrics.route(&INBOUND.into());
    route.closed(Some(Opening::Tls), Some("TLS1.3"), Outcome::Completed, 100, 200);
    route.closed(None, None, Outcome::Probe, 0, 0);
    metrics.sniffed(Duration::from_micros(120));
    metrics.client_handshake(Some("TLS1.3"), Duration::from_millis(2));
    metrics.upstream_handshake(Duration::from_millis(3));
    metrics.dialled(Duration::from_secs(20));
    let mut scrape = begin(&metrics);
    scrape.open(&INBOUND.into(), Opening::Plaintext, 1, 2);
    scrape.open(&INBOUND.into(), Opening::Plaintext, 3, 4);
    scrape.non_conforming = 2;
    for not_after in [2_000_000_000, 1_900_000_000] {
        scrape.certificates.push(CertificateEnd { role: "tlsCertificateKeyFile".into(), not_after });
    }
    for up in [true, false] {
        scrape.links.push(LinkUp {
            route: "outbound transparent".into(),
            destination: "10.0.0.7:27017".into(),
            up: !up,
        });
        scrape.upstreams.push(UpstreamUp { route: INBOUND.into(), upstream: "db1.example:27017".into(), up });
    }
    scrape.inventory_rows = 5;
    scrape.blocking_clients = 4;
    scrape.lost_plaintext_rows = 1;
    scrape.bypass = 2;
    scrape.rotation_refused = true;
    scrape.redirect = Some(true);
    scrape.log_lines_dropped = 6;
    metrics.encode(scrape, format)
}

#[test]
fn every_family_is_there() {
    let text = full(Format::OpenMetrics);
    for (series, expected) in [
        (r#"tlsramp_connections_total{route="inbound",kind="tls",tls_version="TLS1.3",outcome="completed"}"#, 1.0),
        (r#"tlsramp_connections_total{route="inbound",kind="none",tls_version="none",outcome="probe"}"#, 1.0),
        (r#"tlsramp_open_connections{route="inbound",kind="plaintext"}"#, 2.0),
        (r#"tlsramp_open_connections{route="inbound",kind="tls"}"#, 0.0),
        ("tlsramp_non_conforming_connections", 2.0),
        (r#"tlsramp_bytes_total{route="inbound",direction="in"}"#, 104.0),
        (r#"tlsramp_bytes_total{route="inbound",direction="out"}"#, 206.0),
        (r#"tlsramp_sniff_duration_seconds_bucket{le="0.0001"}"#, 0.0),
        (r#"tlsramp_sniff_duration_seconds_bucket{le="0.00025"}"#, 1.0),
        ("tlsramp_sniff_duration_seconds_sum", 0.00012),
        (r#"tlsramp_handshake_duration_seconds_count{side="client"}"#, 1.0),
        (r#"tlsramp_handshake_duration_seconds_sum{side="upstream"}"#, 0.003),
        (r#"tlsramp_dial_duration_seconds_bucket{le="10.0"}"#, 0.0),
        (r#"tlsramp_dial_duration_seconds_bucket{le="+Inf"}"#, 1.0),
        (r#"tlsramp_mode{mode="disabled"}"#, 0.0),
        (r#"tlsramp_mode{mode="preferSSL"}"#, 1.0),
        ("tlsramp_generation", 3.0),
        (r#"tlsramp_certificate_expiry_timestamp_seconds{role="tlsCertificateKeyFile"}"#, 1_900_000_000.0),
        (r#"tlsramp_upstream_up{route="inbound",upstream="db1.example:27017"}"#, 0.0),
        (r#"tlsramp_outbound_link_up{route="outbound transparent",destination="10.0.0.7:27017"}"#, 1.0),
        ("tlsramp_inventory_rows", 5.0),
        ("tlsramp_blocking_clients", 4.0),
        ("tlsramp_inventory_lost_plaintext_rows", 1.0),
        ("tlsramp_bypass_connections", 2.0),
        ("tlsramp_redirect_rules", 1.0),
        ("tlsramp_rotation_refused", 1.0),
        ("tlsramp_reload_refused", 0.0),
        ("tlsramp_log_lines_dropped_total", 6.0),
        (concat!(r#"tlsramp_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""}"#), 1.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series} in\n{text}");
    }
    let process = ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"];
    assert!(process.iter().all(|name| value(&text, &format!("process_{name}")).is_some()), "{text}");
}

#[test]
fn both_formats_are_well_formed() {
    for format in [Format::OpenMetrics, Format::Text] {
        let text = full(format);
        let (mut families, mut names) = (HashSet::new(), HashSet::new());
        for line in text.lines() {
            if let Some(header) = line.strip_prefix("# TYPE ") {
                assert!(families.insert(header.to_owned()), "{line} is there twice");
            } else if let Some(header) = line.strip_prefix("# HELP ") {
                assert!(header.ends_with('.') && header.contains(' '), "{line}");
            } else if !line.starts_with('#') {
                assert!(names.insert(line.rsplit_once(' ').unwrap().0.to_owned()), "{line} is there twice");
            }
        }
        let counter = if format == Format::Text { "tlsramp_bytes_total counter" } else { "tlsramp_bytes counter" };
        assert!(families.contains(counter), "{text}");
        assert_eq!(text.ends_with("\n# EOF\n"), format == Format::OpenMetrics);
        assert_eq!(text.matches("# EOF").count(), usize::from(format == Format::OpenMetrics));
    }
    let samples =
        |format| full(format).lines().filter(|line| line.starts_with("tlsramp_")).map(str::to_owned).collect();
    let (new, old): (Vec<String>, Vec<String>) = (samples(Format::OpenMetrics), samples(Format::Text));
    assert_eq!(new, old, "the same series in both");
}

#[test]
fn nothing_ended_is_no_series() {
    let metrics = Metrics::default();
    let _ = metrics.route(&INBOUND.into());
    let text = text(&metrics);
    assert!(!text.contains("tlsramp_connections_total{"), "{text}");
    assert_eq!(value(&text, r#"tlsramp_bytes_total{route="inbound",direction="in"}"#), Some(0.0));
}

#[test]
fn labels_are_escaped() {
    let metrics = Metrics::default();
    metrics.route(&"a\"b\\c\nd".into()).closed(Some(Opening::Plaintext), None, Outcome::Completed, 9, 0);
    let text = text(&metrics);
    assert_eq!(value(&text, r#"tlsramp_bytes_total{route="a\"b\\c\nd",direction="in"}"#), Some(9.0), "{text}");
}

#[test]
fn routes_beyond_the_bound_share_a_label() {
    let metrics = Metrics::default();
    for number in 0..METRICS_ROUTES + 3 {
        metrics.route(&format!("route-{number}").into()).closed(
            Some(Opening::Plaintext),
            None,
            Outcome::Completed,
            1,
            0,
        );
    }
    metrics.route(&"other".into()).closed(Some(Opening::Plaintext), None, Outcome::Completed, 1, 0);
    let mut scrape = begin(&metrics);
    for beyond in ["route-0", "other", "never seen", "nor this"] {
        scrape.open(&beyond.into(), Opening::Plaintext, 10, 0);
    }
    let text = metrics.encode(scrape, Format::OpenMetrics);
    assert_eq!(text.lines().filter(|line| line.starts_with("tlsramp_connections_total")).count(), METRICS_ROUTES + 1);
    assert_eq!(value(&text, r#"tlsramp_bytes_total{route="route-0",direction="in"}"#), Some(11.0));
    assert_eq!(value(&text, r#"tlsramp_bytes_total{route="other",direction="in"}"#), Some(34.0));
    assert_eq!(value(&text, r#"tlsramp_open_connections{route="other",kind="plaintext"}"#), Some(3.0));
    assert_eq!(metrics.table().len(), METRICS_ROUTES + 1);
}

/// A connection that is listed as open ends before the page is written, or between two scrapes.
#[test]
fn bytes_are_counted_once_and_never_fall() {
    let (metrics, name) = (Metrics::default(), Arc::from(INBOUND));
    let route = metrics.route(&name);
    let total = |scrape| {
        let text = metrics.encode(scrape, Format::OpenMetrics);
        value(&text, r#"tlsramp_bytes_total{route="inbound",direction="in"}"#)
    };
    let mut scrape = begin(&metrics);
    scrape.open(&name, Opening::Plaintext, 100, 0);
    route.closed(Some(Opening::Plaintext), None, Outcome::Completed, 100, 0);
    assert_eq!(total(scrape), Some(100.0), "counted twice");

    let mut scrape = begin(&metrics);
    scrape.open(&name, Opening::Plaintext, 50, 0);
    assert_eq!(total(scrape), Some(150.0));
    let missed = begin(&metrics);
    route.closed(Some(Opening::Plaintext), None, Outcome::Completed, 60, 0);
    assert_eq!(total(missed), Some(150.0), "fell");
    assert_eq!(total(begin(&metrics)), Some(160.0));
}

/// A scrape includes all bytes relayed before it began, even while connections end.
#[test]
fn bytes_of_a_connection_that_ends_are_in_every_scrape() {
    const CONNECTIONS: u64 = 5_000;
    let (observer, name) = (Arc::new(Observer::default()), Arc::<str>::from(INBOUND));
    let route =
        Arc::new(RouteRecord { id: RouteId::Inbound, name: Arc::clone(&name), metrics: observer.metrics.route(&name) });
    let judged = ConnectionVerdict {
        acceptance: Acceptance::Terminate,
        rule: LinkRule::Never,
        opening: Opening::Plaintext,
        link: Link::Plaintext,
        mode: Mode::Allow,
    };
    let relayed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..CONNECTIONS {
                let record = observer.open(([127, 0, 0, 1], 1).into(), &route).establish(judged, || true).unwrap();
                record.open().counters.inbound.store(10, Ordering::Relaxed);
                relayed.fetch_add(10, Ordering::SeqCst);
                record.close(Outcome::Completed, None);
            }
        });
        let mut before = 0;
        while before < CONNECTIONS * 10 {
            before = relayed.load(Ordering::SeqCst);
            let (mut scrape, open) = observer.open_connections.list_with(|| begin(&observer.metrics));
            for open in open {
                scrape.open(&open.route.name, open.opening, open.counters.inbound.load(Ordering::Relaxed), 0);
            }
            let now = scrape.by_route(|name| observer.metrics.route(name))[0].bytes[0];
            assert!(now >= before, "{now} of {before} bytes");
        }
    });
}

/// Connections of known size come and go while scrapes are made in the documented order.
#[test]
fn totals_stay_between_what_was_told_and_what_began() {
    const CONNECTIONS: u64 = 2_000;
    const BYTES: u64 = 1000;
    let (metrics, name) = (Metrics::default(), Arc::<str>::from(INBOUND));
    let (route, table, begun) = (metrics.route(&name), Mutex::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=CONNECTIONS {
                begun.store(number, Ordering::SeqCst);
                *table.lock().unwrap() = true;
                std::thread::yield_now();
                *table.lock().unwrap() = false;
                // A wrong order of the two calls would show if a connection ends here.
                std::thread::yield_now();
                route.closed(Some(Opening::Plaintext), None, Outcome::Completed, BYTES, 0);
            }
        });
        let mut last = 0;
        while last < CONNECTIONS * BYTES {
            let mut scrape = begin(&metrics);
            let (open, begun) = (table.lock().unwrap(), begun.load(Ordering::SeqCst));
            if *open {
                scrape.open(&name, Opening::Plaintext, BYTES, 0);
            }
            drop(open);
            let now = scrape.by_route(|name| metrics.route(name))[0].bytes[0];
            assert!(now >= last, "fell from {last} to {now}");
            assert!(now <= begun * BYTES, "{now} of {begun} connections");
            last = now;
        }
    });
}
