//! The metrics are correct in both formats, and the tools of Prometheus accept them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::support::{Proxy, admin, cert, parts, process, require, require_command, service::Upstream};

/// Makes connections of every kind. They are counted, and the metrics are accepted by Prometheus' own checker and
/// parser.
#[test]
fn what_happened_is_counted_and_both_forms_are_good() {
    require_command!("promtool");
    let python = require!(parts::pymongo());
    let service = Upstream::start();
    let (upstream, files) = (service.address.to_string(), [cert("server.pem"), cert("ca.pem")]);
    let flags = ["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--sslMode", "allowSSL"];
    let proxy = Proxy::start(flags.into_iter().chain(["--sslPEMKeyFile", &files[0], "--sslCAFile", &files[1]]));
    let admin = admin::of(&proxy);
    let get = |accept: &str| {
        let host = proxy.address("admin");
        admin.raw(&format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"))
    };

    // One plaintext connection that stays open, one that has ended, and one that never sent anything.
    let mut stays = TcpStream::connect(proxy.address("inbound")).unwrap();
    echo(&mut stays, b"twelve bytes");
    let mut ends = TcpStream::connect(proxy.address("inbound")).unwrap();
    echo(&mut ends, b"four");
    drop(ends);
    drop(TcpStream::connect(proxy.address("inbound")).unwrap());
    let text = until(
        || get("text/plain").body,
        |text| {
            value(text, "tlsramp_connections_total{", "outcome=\"completed\"") == 1.0
                && value(text, "tlsramp_connections_total{", "outcome=\"probe\"") == 1.0
                // Open connections are read before ended ones.
                && value(text, "tlsramp_open_connections{", "kind=\"plaintext\"") == 1.0
                // The counts of a connection that ends are updated one after the other.
                && value(text, "tlsramp_bytes_total{", "direction=\"in\"") == 16.0
        },
    );
    assert_eq!(value(&text, "tlsramp_bytes_total{", "direction=\"in\""), 16.0);
    assert_eq!(value(&text, "tlsramp_mode{", "allowSSL"), 1.0);
    assert_eq!(value(&text, "tlsramp_generation", ""), 1.0);
    assert!(value(&text, "process_open_fds", "") > 5.0);
    assert!(value(&text, "tlsramp_certificate_expiry_timestamp_seconds{", "tlsCertificateKeyFile") > 1.7e9);
    echo(&mut stays, b"more");
    drop(stays);
    let later = until(
        || get("text/plain").body,
        |text| {
            value(text, "tlsramp_open_connections{", "plaintext") == 0.0
                // A connection leaves the open ones before its bytes are added to those of the ended ones.
                && value(text, "tlsramp_bytes_total{", "direction=\"in\"") >= 20.0
        },
    );
    assert_eq!(value(&later, "tlsramp_bytes_total{", "direction=\"in\""), 20.0, "what has ended is counted once");

    let plain = get("*/*");
    assert!(plain.head.contains("content-type: text/plain; version=0.0.4"), "{}", plain.head);
    let mut promtool = process::tethered("promtool");
    promtool.args(["check", "metrics"]);
    let checked = process::output_with_input(promtool, plain.body.into_bytes(), PATIENCE).unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let open_metrics = get("application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert!(open_metrics.head.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(open_metrics.body.ends_with("# EOF\n"));
    let mut parser = process::tethered(python);
    let script = "import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse; \
                  print(len(list(parse(sys.stdin.read()))))";
    parser.args(["-c", script]);
    let parsed = process::output_with_input(parser, open_metrics.body.into_bytes(), PATIENCE).unwrap();
    assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    let families: usize = String::from_utf8(parsed.stdout).unwrap().trim().parse().unwrap();
    assert!(families > 15, "{families} families");
}

fn echo(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, bytes);
}

/// The sum of the series of a family whose labels contain this text.
fn value(text: &str, name: &str, label: &str) -> f64 {
    let series = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[track_caller]
fn until<T>(mut get: impl FnMut() -> T, is: impl Fn(&T) -> bool) -> T
where
    T: std::fmt::Debug,
{
    let end = Instant::now() + PATIENCE;
    loop {
        let got = get();
        if is(&got) {
            return got;
        }
        assert!(Instant::now() < end, "it does not come to be: {got:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
