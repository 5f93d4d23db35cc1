//! `tlsramp load` against its own server, a proxy in front of it, and a real mongod.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Output, Stdio},
};

use serde_json::Value;

use crate::support::{Mongod, Proxy, ReservedPort, cert, mongod, parts, process, require, run_to_end, until};

#[test]
fn its_own_server_by_tls_and_plaintext_through_a_proxy() {
    let server = Serving::start(&[]);
    let proxy = in_front_of(&server.address, "allowSSL");
    let target = format!("localhost:{}", proxy.port());
    let (ca, client) = (cert("ca.pem"), cert("client.pem"));
    let tls = ["--tlsCAFile", &ca, "--tlsCertificateKeyFile", &client];
    for (workload, more, versions) in [
        ("echo", &["--mix", "70"][..], &[("TLS1.3", 7), ("plaintext", 3)][..]),
        ("bulk", &["--tls", "--tlsVersion", "1.2", "--response", "3000000"], &[("TLS1.2", 10)]),
        ("idle", &["--command", "echo", "--mix", "20"], &[("TLS1.3", 2), ("plaintext", 8)]),
    ] {
        let mark = proxy.mark();
        let report = measured(&[&[workload, "--target", &target, "--connections", "10"], more, &tls].concat());
        let operations = report["operations"].as_u64().unwrap();
        assert!(operations >= 10 && report["errors"] == serde_json::json!({}), "{report:#}");
        let (sent, received) = (report["bytesSent"].as_u64().unwrap(), report["bytesReceived"].as_u64().unwrap());
        let answer = if workload == "bulk" { 3_000_000 } else { 1024 };
        assert_eq!((sent, received), (operations * (256 + 9), operations * answer), "{report:#}");
        assert!(report["latency"]["p50"].as_f64().unwrap() <= report["latency"]["max"].as_f64().unwrap());
        // The proxy has seen this number of connections of each kind.
        for (version, count) in versions {
            let of = |record: &Value| match *version {
                "plaintext" => record["opening"] == "plaintext",
                version => record["tls_version"] == version,
            };
            let limit = crate::support::service::SOON;
            let all = || proxy.records_since(mark).iter().filter(|record| of(record)).count();
            assert!(crate::support::service::wait_until(limit, || all() == *count), "{workload}: {} {version}", all());
        }
    }
}

#[test]
fn what_it_cost_is_told_of_the_process_asked_for() {
    let server = Serving::start(&["--tlsCertificateKeyFile", &cert("server.pem")]);
    let target = server.address.replace("127.0.0.1", "localhost");
    let (pid, ca) = (server.child.id().to_string(), cert("ca.pem"));
    let asked = ["--target", &target, "--tls", "--tlsCAFile", &ca, "--cpu-of", &pid, "--connections", "8"];
    // With and without resumption: a full handshake is expensive, and the server counts how many were made.
    let connect = |more: &[&str]| measured(&[&["connect", "--command", "echo"], &asked[..], more].concat());
    let (full, resumed) = (connect(&[]), connect(&["--resume"]));
    let cost = |report: &Value| report["cpu"]["microsPerOperation"].as_f64().unwrap();
    assert!(cost(&full) > 0.0 && cost(&resumed) > 0.0, "{full:#} {resumed:#}");
    let idle = measured(&[&["idle", "--command", "echo"], &asked[..]].concat());
    assert_eq!(idle["operations"], 8, "{idle:#}");
    assert!(idle["cpu"]["bytesPerConnection"].as_f64().unwrap() >= 0.0, "{idle:#}");
}

#[test]
fn a_real_mongod_and_its_refusals() {
    require!(parts::mongod());
    let mongod = Mongod::start(&mongod::Options::default());
    for command in ["ping", "hello", "insert"] {
        let report = measured(&["mixed", "--target", &mongod.address(), "--command", command]);
        assert!(report["operations"].as_u64().unwrap() > 10 && report["errors"] == serde_json::json!({}), "{report:#}");
    }
    let proxy = in_front_of(&mongod.address(), "requireSSL");
    let refused = load(&["connect", "--target", &format!("127.0.0.1:{}", proxy.port())]);
    assert_eq!(refused.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&refused.stdout).unwrap();
    let kinds: Vec<_> = report["errors"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(kinds, ["server error 141: The server is configured to only allow SSL connections"], "{report:#}");
}

/// However fast the server is, an open loop sends exactly as many requests as requested.
#[test]
fn an_open_loop_keeps_its_rate() {
    let server = Serving::start(&[]);
    let report = measured(&["echo", "--target", &server.address, "--rate", "200", "--connections", "4"]);
    let all = (report["seconds"].as_f64().unwrap() * 200.0).round();
    assert!(all >= 200.0 && report["operations"].as_f64() == Some(all), "{report:#}");
}

#[test]
fn what_it_says_to_people_and_when_nothing_answers() {
    let server = Serving::start(&[]);
    let said = text(&run_to_end(["load", "echo", "--target", &server.address, "--duration", "200ms", "--warmUp", "0"]));
    for part in ["echo of 256 B / 1024 B at 127.0.0.1:", "16 plaintext, closed loop", "operations  ", "p99.9 "] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let reserved = ReservedPort::new();
    let nobody = reserved.address().to_string();
    let failed = load(&["--target", &nobody]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(text(&failed).contains("\"connection refused\": "), "{}", text(&failed));
    let usage = load(&["--target", &nobody, "--resume"]);
    assert_eq!(usage.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&usage.stderr).contains("--resume has no effect without --tls"));
}

/// `tlsramp load --serve`, killed on drop.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(more: &[&str]) -> Self {
        let mut command = process::tethered(env!("CARGO_BIN_EXE_tlsramp"));
        command.args(["load", "--serve", "127.0.0.1:0"]).args(more).stdout(Stdio::piped());
        let mut child = process::spawn(command).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("serving on ").expect("it says where").to_owned();
        Self { child, address }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn in_front_of(server: &str, mode: &str) -> Proxy {
    let (key, ca) = (cert("server.pem"), cert("ca.pem"));
    let args = ["--port", "0", "--upstream", server, "--upstreamTLS", "never", "--sslMode", mode];
    Proxy::start([&args[..], &["--sslPEMKeyFile", &key, "--sslCAFile", &ca]].concat())
}

fn load(args: &[&str]) -> Output {
    // An operation that begins during the warm-up does not count.
    let (warm_up, duration) = if until::busy() { ("2s", "8s") } else { ("200ms", "1s") };
    run_to_end([&["load", "--json", "--warmUp", warm_up, "--duration", duration], args].concat())
}

#[track_caller]
fn measured(args: &[&str]) -> Value {
    let output = load(args);
    assert!(output.status.success(), "{args:?}: {}{}", text(&output), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
