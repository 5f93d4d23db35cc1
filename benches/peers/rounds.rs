//! The order of measurements: each round runs every workload, and each workload every peer, starting with a different
//! peer in each round, so that other load on the machine affects all of them.

use std::io::{Write, stderr};
use std::path::Path;

use super::figures::{Cell, Figures};
use super::floor::{self, Floor};
use super::latency::LatencyRound;
use super::mongod;
use super::options::Options;
use super::peer::{Peer, Started, WORKERS};
use super::rest::Rest;
use super::storms::StormRound;
use super::support::{Certs, Load, Report, tlsramp};
use super::workload::{Unit, Workload};

/// All results.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) peers: Vec<Peer>,
    pub(crate) figures: Figures,
    pub(crate) floors: Vec<Floor>,
    /// The parameters that each peer negotiates with a TLS 1.3 client.
    pub(crate) agreed: Vec<(Peer, String)>,
    pub(crate) mongod: Vec<mongod::Row>,
    pub(crate) storms: Vec<StormRound>,
    pub(crate) latencies: Vec<LatencyRound>,
    pub(crate) rests: Vec<Rest>,
    /// Reasons for missing figures in the tables.
    pub(crate) notes: Vec<String>,
}

/// # Errors
/// Nothing can be measured. A peer that does not start is only left out, with a note.
pub(crate) fn run(options: &Options) -> Result<Measured, String> {
    let certs = Certs::make()?;
    let mut notes = Vec::new();
    let mut field: Vec<(Peer, Started)> = Vec::new();
    for peer in &options.peers {
        match peer.start(&options.tlsramp, &certs, WORKERS) {
            Ok(started) => field.push((*peer, started)),
            Err(why) => note(&mut notes, format!("{} is left out: {why}", peer.title())),
        }
    }
    let agreed = field.iter().map(|(peer, started)| (*peer, floor::agreed(started.tls, &certs.ca))).collect();
    let mut figures = Figures::default();
    let mut floors = Vec::new();
    let behind = options.with_mongod.then(|| mongod::Bench::start(options, &certs)).transpose();
    let mut behind = behind.unwrap_or_else(|why| {
        note(&mut notes, format!("mongod is left out: {why}"));
        None
    });
    for round in 0..options.rounds {
        for (row, workload) in options.workloads.iter().enumerate() {
            for turn in 0..field.len() {
                let (peer, started) = &field[(turn + round + row) % field.len()];
                say(&format!("round {}/{}: {}, {}", round + 1, options.rounds, workload.key, peer.title()));
                match cell(options, &certs, *peer, started, workload) {
                    Ok(Some(cell)) => figures.add(workload.key, *peer, round, cell),
                    Ok(None) => {}
                    Err(why) => {
                        note(&mut notes, format!("{}, {}, round {}: {why}", peer.title(), workload.key, round + 1))
                    }
                }
            }
        }
        floors.push(floor::measure(&certs)?);
        if let Some(bench) = &mut behind {
            say(&format!("round {}/{}: mongod", round + 1, options.rounds));
            bench
                .round(options, round)
                .unwrap_or_else(|why| note(&mut notes, format!("mongod, round {}: {why}", round + 1)));
        }
    }
    let mut turns = |wanted: bool, what: &str, measure: &mut dyn FnMut(Peer, &Started, usize) -> Result<(), String>| {
        for round in 0..if wanted { options.rounds } else { 0 } {
            for turn in 0..field.len() {
                let (peer, started) = &field[(turn + round) % field.len()];
                if peer.logs() {
                    continue;
                }
                say(&format!("round {}/{}: {what}, {}", round + 1, options.rounds, peer.title()));
                measure(*peer, started, round).unwrap_or_else(|why| {
                    note(&mut notes, format!("{}, {what}, round {}: {why}", peer.title(), round + 1));
                });
            }
        }
    };
    let (mut latencies, mut rests, mut storms) = (Vec::new(), Vec::new(), Vec::new());
    turns(options.with_latency, "latency", &mut |peer, started, round| {
        latencies.push(LatencyRound::measure(options, &certs, peer, started, round)?);
        Ok(())
    });
    turns(options.with_rest, "rest", &mut |peer, _, _| {
        if peer != Peer::Direct {
            rests.push(Rest::measure(options, &certs, peer)?);
        }
        Ok(())
    });
    turns(options.with_storms, "storms", &mut |peer, _, _| {
        if peer != Peer::Direct {
            storms.push(StormRound::measure(options, &certs, peer)?);
        }
        Ok(())
    });
    let peers = field.iter().map(|(peer, _)| *peer).collect();
    let mongod = behind.map(mongod::Bench::rows).unwrap_or_default();
    Ok(Measured { peers, figures, floors, agreed, mongod, storms, latencies, rests, notes })
}

/// Makes one measurement; `None` if the peer does not support the workload.
fn cell(
    options: &Options,
    certs: &Certs,
    peer: Peer,
    started: &Started,
    workload: &Workload,
) -> Result<Option<Cell>, String> {
    if peer.logs() && !workload.is_per_connection() {
        return Ok(None);
    }
    let fresh = match workload.unit {
        Unit::Memory if peer == Peer::Direct => return Ok(None),
        Unit::Memory => Some(peer.start(&options.tlsramp, certs, WORKERS)?),
        Unit::Operation | Unit::Gigabyte => None,
    };
    let started = fresh.as_ref().unwrap_or(started);
    let Some(port) = (if workload.tls { Some(started.tls) } else { started.plain }) else { return Ok(None) };
    let ca: Option<&Path> = workload.tls.then_some(&certs.ca);
    let processes = started.processes();
    let program = tlsramp::program();
    let args: Vec<&str> = workload.args.iter().copied().chain(["--connections", workload.connections]).collect();
    let load = Load {
        program: &program,
        launcher: &[],
        args: &args,
        port,
        ca,
        warm_up: workload.warm_up(),
        duration: workload.duration(options.span),
        processes: &processes,
    };
    let report = load.run()?;
    if report.failed() > 0 {
        return Err(format!("{} of {} failed: {}", report.failed(), report.operations, report.errors_text()));
    }
    Ok(Some(Cell::of(workload, &report)))
}

impl Cell {
    fn of(workload: &Workload, report: &Report) -> Cell {
        let cost = report.cpu.as_ref().and_then(|cpu| match workload.unit {
            Unit::Operation => cpu.micros_per_operation,
            Unit::Gigabyte => cpu.seconds_per_gigabyte,
            Unit::Memory => cpu.bytes_per_connection.map(|bytes| bytes / 1e3),
        });
        let throughput = match workload.unit {
            Unit::Gigabyte => report.gigabytes_per_second(),
            Unit::Operation | Unit::Memory => report.operations_per_second,
        };
        // A cost of less than one clock tick is meaningless.
        let cost = cost.filter(|cost| *cost > 0.0);
        let system = report.cpu.as_ref().zip(cost).and_then(|(cpu, cost)| {
            let all = cpu.user_seconds + cpu.system_seconds;
            (workload.unit != Unit::Memory && all > 0.0).then(|| cost * cpu.system_seconds / all)
        });
        Cell { cost, system, throughput, p50: report.latency.p50, p99: report.latency.p99 }
    }
}

/// Reports progress.
pub(crate) fn say(text: &str) {
    // Write errors are ignored: a closed standard error is no reason to fail.
    let _ = writeln!(stderr(), "peers: {text}");
}

fn note(notes: &mut Vec<String>, text: String) {
    say(&text);
    notes.push(text);
}
