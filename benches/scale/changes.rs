//! Measures how much latency mode changes add to requests, and holds ten thousand connections during mode changes.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::costs::{ARGS, wait_open};
use super::options::Options;
use super::support::{Certs, Load, Report, Running, Scratch, tlsramp};
use super::switch::Switch;

/// A section of the report, and a description of the failures, if there were any.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) text: String,
    pub(crate) lost: Option<String>,
}

/// Makes requests at a steady rate, alternately with and without mode changes.
pub(crate) fn in_flight(options: &Options, certs: &Certs) -> Result<Part, String> {
    let folder = Scratch::new("scale");
    let (_server, upstream) = tlsramp::serve(None, folder.path())?;
    let proxy = proxy(options, certs, upstream, folder.path())?;
    let mut part = Part {
        text: format!(
            "\n## Requests in flight while the mode changes\n\n64 connections, 70 % by TLS, {RATE} requests a second, timed from \
             when they were due; `allowSSL` and `preferSSL` in turn, every {} ms.\n\n\
             | round | changes | requests | failed | p50, us | p99, us | longest, ms |\n|---:|---:|---:|---:|---:|---:|---:|\n",
            INTERVAL.as_millis()
        ),
        lost: None,
    };
    let rate = RATE.to_string();
    let args = ["echo", "--connections", "64", "--mix", "70", "--rate", &rate];
    let duration = options.span.max(Duration::from_secs(1)) * 2;
    let (mut calm, mut busy) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        for changing in [false, true] {
            eprintln!("scale: requests in flight, round {round}, {}", if changing { "changing" } else { "calm" });
            let switch = changing.then(|| Switch::start(proxy.admin, INTERVAL)).transpose()?;
            let report = load(certs, proxy.port, &args, Duration::from_secs(1), duration).run()?;
            let changes = switch.map(Switch::stop).transpose()?;
            part.note("requests in flight", &report);
            part.row(round, changes, &report);
            if changing { &mut busy } else { &mut calm }.push(report.latency.p99);
        }
    }
    let (calm, busy) = (median(calm), median(busy));
    // Writing to a `String` does not fail.
    let _ = writeln!(part.text, "\np99, medians: {calm:.0} us without changes, {busy:.0} us with them.");
    Ok(part)
}

/// Opens connections, holds them while the mode changes, and uses each once more.
pub(crate) fn held(options: &Options, certs: &Certs, most: usize) -> Result<Part, String> {
    let connections = options.held.min(most);
    let folder = Scratch::new("scale");
    let (_server, upstream) = tlsramp::serve(None, folder.path())?;
    let proxy = proxy(options, certs, upstream, folder.path())?;
    // Each connection makes three requests: when it is opened, while the mode changes, and afterwards.
    let rate = (connections / 15).max(1);
    let turn = Duration::from_secs_f64(connections as f64 / rate as f64);
    let (count, rate) = (connections.to_string(), rate.to_string());
    let args = ["echo", "--connections", &count, "--mix", "70", "--rate", &rate];
    eprintln!("scale: {connections} connections held");
    let report = std::thread::scope(|scope| -> Result<(Report, u64), String> {
        let measuring = scope.spawn(|| load(certs, proxy.port, &args, turn, turn * 2).run());
        wait_open(&proxy.running, connections, turn * 3)?;
        let switch = Switch::start(proxy.admin, INTERVAL)?;
        // A client closes after its last request; the first clients do so in the next turn.
        std::thread::sleep(turn.mul_f64(0.8));
        let changes = switch.stop()?;
        // All connections must still be open before their last requests.
        wait_open(&proxy.running, connections, Duration::ZERO)?;
        let report = measuring.join().map_err(|_| "the load has panicked".to_owned())??;
        Ok((report, changes))
    });
    let (report, changes) = report?;
    let mut part = Part {
        text: format!(
            "\n## {connections} connections held while the mode changes\n\n70 % by TLS; each asked when it is opened, while the mode \
             goes between `allowSSL` and `preferSSL` {changes} times, and afterwards.\n\n\
             | asked after the opening | failed | p50, us | p99, us |\n|---:|---:|---:|---:|\n| {} | {} | {:.0} | {:.0} |",
            report.operations,
            report.failed(),
            report.latency.p50,
            report.latency.p99
        ),
        lost: None,
    };
    part.note("held connections", &report);
    Ok(part)
}

/// A proxy and its ports.
#[derive(Debug)]
struct Proxy {
    running: Running,
    port: u16,
    admin: u16,
}

fn proxy(options: &Options, certs: &Certs, upstream: u16, folder: &Path) -> Result<Proxy, String> {
    let (running, places) = tlsramp::proxy(&options.tlsramp, certs, upstream, "preferSSL", &ARGS, folder)?;
    Ok(Proxy { running, port: places.port, admin: places.admin })
}

fn load<'a>(certs: &'a Certs, port: u16, args: &'a [&'a str], warm_up: Duration, duration: Duration) -> Load<'a> {
    let program = Path::new(env!("CARGO_BIN_EXE_tlsramp"));
    Load { program, launcher: &[], args, port, ca: Some(&certs.ca), warm_up, duration, processes: &[] }
}

impl Part {
    fn note(&mut self, what: &str, report: &Report) {
        if report.failed() > 0 {
            self.lost = Some(format!("{what}: {} failed: {}", report.failed(), report.errors_text()));
        }
    }

    fn row(&mut self, round: usize, changes: Option<u64>, report: &Report) {
        let changes = changes.map_or("none".into(), |changes| changes.to_string());
        let latency = report.latency;
        let _ = writeln!(
            self.text,
            "| {round} | {changes} | {} | {} | {:.0} | {:.0} | {:.1} |",
            report.operations,
            report.failed(),
            latency.p50,
            latency.p99,
            latency.max / 1e3
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Requests per second: a third of the capacity of a core, so that no queue hides the latency of a change.
const RATE: u32 = 2_000;
/// Interval of mode changes, far shorter than in operation.
const INTERVAL: Duration = Duration::from_millis(50);
