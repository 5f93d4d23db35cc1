//! Latency of established TLS clients while a storm of new clients comes in, as after a failover. The proxy has one core and
//! one worker, so that new and established clients compete for that core; clients and server share the other cores.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Pid;
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use socket2::SockRef;

use super::crowd::{self, Crowd};
use super::figures::Spread;
use super::floor;
use super::options::Options;
use super::peer::Peer;
use super::support::{Certs, Load, tlsramp};

/// One round of one peer: the latency of the established clients in microseconds, for each of [`STORMS`], and what
/// became of the clients that connect at the same time.
#[derive(Debug)]
pub(crate) struct StormRound {
    pub(crate) peer: Peer,
    /// The 50th and the 99th percentile.
    latency: [[f64; 2]; STORMS.len()],
    /// Handshakes per second of the clients that make them without pause.
    handshakes: f64,
    crowd: Crowd,
}

/// What became of the clients of a storm.
#[derive(Debug)]
enum Stormed {
    Nothing,
    Handshakes(f64),
    Crowd(Crowd),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storm {
    /// None.
    Quiet,
    /// 64 clients make full handshakes without pause.
    Handshakes,
    /// 64 clients send the same ClientHello, and reset the connection at the answer.
    Hellos,
    /// [`crowd::CLIENTS`] clients make full handshakes at the same time, and stay.
    Crowd,
}

pub(crate) const STORMS: [Storm; 4] = [Storm::Quiet, Storm::Handshakes, Storm::Hellos, Storm::Crowd];

impl StormRound {
    /// # Errors
    /// The proxy does not start or cannot be moved to one core, or a client fails.
    pub(crate) fn measure(options: &Options, certs: &Certs, peer: Peer) -> Result<StormRound, String> {
        let _others = OtherCores::keep_to()?;
        let started = peer.start(&options.tlsramp, certs, 1)?;
        started.processes().into_iter().try_for_each(keep_on_first_core)?;
        let (mut latency, mut handshakes, mut crowd) = ([[0.0; 2]; STORMS.len()], 0.0, None);
        for (storm, cell) in STORMS.into_iter().zip(&mut latency) {
            let stormed;
            (*cell, stormed) = established(options, certs, started.tls, storm)?;
            match stormed {
                Stormed::Nothing => {}
                Stormed::Handshakes(rate) => handshakes = rate,
                Stormed::Crowd(one) => crowd = Some(one),
            }
        }
        Ok(StormRound { peer, latency, handshakes, crowd: crowd.ok_or("no clients came")? })
    }

    /// Median and spread of the 99th percentile during a storm, in ratio to the quiet one of the same round.
    pub(crate) fn ratio(rounds: &[StormRound], peer: Peer, storm: Storm) -> Option<Spread> {
        let of_peer = rounds.iter().filter(|round| round.peer == peer);
        Spread::over(of_peer.map(|round| round.latency[storm as usize][1] / round.latency[Storm::Quiet as usize][1]))
    }

    /// Medians of the 50th and the 99th percentile.
    pub(crate) fn latency(rounds: &[StormRound], peer: Peer, storm: Storm) -> Option<[f64; 2]> {
        let over = |percentile: usize| {
            let of_peer = rounds.iter().filter(|round| round.peer == peer);
            Some(Spread::over(of_peer.map(|round| round.latency[storm as usize][percentile]))?.median)
        };
        Some([over(0)?, over(1)?])
    }

    /// Median and spread of the seconds until all of the clients that connect at the same time had an answer, and how many
    /// had none, in all rounds.
    pub(crate) fn crowd(rounds: &[StormRound], peer: Peer) -> Option<(Spread, usize)> {
        let of_peer = || rounds.iter().filter(|round| round.peer == peer).map(|round| round.crowd);
        Some((Spread::over(of_peer().map(|crowd| crowd.all_in))?, of_peer().map(|crowd| crowd.failed).sum()))
    }

    pub(crate) fn handshakes(rounds: &[StormRound], peer: Peer) -> Option<Spread> {
        Spread::over(rounds.iter().filter(|round| round.peer == peer).map(|round| round.handshakes))
    }
}

/// Measures 32 established clients during a storm. Returns the 50th and the 99th percentile of their latency, and what
/// became of the storm's clients.
fn established(options: &Options, certs: &Certs, port: u16, storm: Storm) -> Result<([f64; 2], Stormed), String> {
    let (program, stop) = (tlsramp::program(), AtomicBool::new(false));
    let load = |launcher, args, duration| Load {
        program: &program,
        launcher,
        args,
        port,
        ca: Some(&certs.ca),
        warm_up: WARM_UP,
        duration,
        processes: &[],
    };
    let hello = hello(certs)?;
    thread::scope(|scope| {
        let storming = (storm != Storm::Quiet).then(|| {
            scope.spawn(|| {
                yield_to_others()?;
                match storm {
                    Storm::Quiet => Ok(Stormed::Nothing),
                    Storm::Handshakes => {
                        let handshakes = load(&STORMING, &HANDSHAKES, options.span + WARM_UP);
                        handshakes.run().map(|report| Stormed::Handshakes(report.operations_per_second))
                    }
                    Storm::Crowd => {
                        thread::sleep(WARM_UP);
                        crowd::come(certs, port).map(Stormed::Crowd)
                    }
                    Storm::Hellos => {
                        thread::scope(|scope| {
                            for _ in 0..CLIENTS {
                                scope.spawn(|| flood(port, &hello, &stop));
                            }
                        });
                        Ok(Stormed::Nothing)
                    }
                }
            })
        });
        let report = load(&STORMING[..3], &ESTABLISHED, options.span).run();
        stop.store(true, Ordering::Relaxed);
        let stormed = match storming.map(thread::ScopedJoinHandle::join) {
            Some(Ok(stormed)) => stormed?,
            Some(Err(_)) => return Err("the storm has panicked".to_owned()),
            None => Stormed::Nothing,
        };
        let report = report?;
        if report.failed() > 0 {
            return Err(format!("{} established clients failed: {}", report.failed(), report.errors_text()));
        }
        Ok(([report.latency.p50, report.latency.p99], stormed))
    })
}

/// Sends ClientHellos until `stop`. A refused connection is no error: the proxy may be full.
fn flood(port: u16, hello: &[u8], stop: &AtomicBool) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut client) = TcpStream::connect_timeout(&address, WARM_UP) else { continue };
        // A reset leaves no port in TIME_WAIT.
        let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
        let _ = client.set_read_timeout(Some(WARM_UP));
        if client.write_all(hello).is_ok() {
            let _ = client.read(&mut [0; 1024]);
        }
    }
}

fn hello(certs: &Certs) -> Result<Vec<u8>, String> {
    let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
    let mut client =
        ClientConnection::new(floor::client(&certs.ca, false)?, name).map_err(|error| error.to_string())?;
    let mut hello = Vec::new();
    client.write_tls(&mut hello).map_err(|error| error.to_string())?;
    Ok(hello)
}

/// Keeps this thread, and the threads and processes that it starts itself, off the first core, until it is dropped.
struct OtherCores {
    all: CpuSet,
}

impl OtherCores {
    fn keep_to() -> Result<OtherCores, String> {
        let all = sched_getaffinity(None).map_err(|error| error.to_string())?;
        let mut others = all;
        others.unset(FIRST_CORE);
        sched_setaffinity(None, &others).map_err(|error| format!("storms need two cores: {error}"))?;
        Ok(OtherCores { all })
    }
}

impl Drop for OtherCores {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.all);
    }
}

/// Lets this thread, and the threads that it starts, run only while nothing else wants to. The clients of a storm have as
/// much to compute as the proxy, and would delay the clients that are measured.
fn yield_to_others() -> Result<(), String> {
    let thread = gettid().as_raw_nonzero().to_string();
    let ended = Command::new("chrt").args(["--idle", "--pid", "0", &thread]).status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("chrt: {other:?}")),
    }
}

/// Moves all threads of a process to the first core.
fn keep_on_first_core(process: i32) -> Result<(), String> {
    let in_words = |error: &dyn std::fmt::Display| format!("process {process}: {error}");
    let mut first = CpuSet::new();
    first.set(FIRST_CORE);
    let threads = procfs::process::Process::new(process).and_then(|process| process.tasks());
    for one in threads.map_err(|error| in_words(&error))? {
        let id = one.map_err(|error| in_words(&error))?.tid;
        // A thread may have ended meanwhile.
        let _ = sched_setaffinity(Pid::from_raw(id), &first);
    }
    Ok(())
}

const FIRST_CORE: usize = 0;
/// Starts a program: the first three words keep it off the first core, the others do what [`yield_to_others`] does.
const STORMING: [&str; 6] = ["taskset", "--cpu-list", "1-1023", "chrt", "--idle", "0"];
const CLIENTS: usize = 64;
const HANDSHAKES: [&str; 5] = ["connect", "--command", "echo", "--connections", "64"];
const ESTABLISHED: [&str; 5] = ["echo", "--connections", "32", "--rate", "2000"];
const WARM_UP: Duration = Duration::from_millis(500);
