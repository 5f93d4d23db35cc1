//! Latency of established TLS clients while a storm of new clients comes in, as after a failover. The proxy runs on one
//! core, so that new and established clients compete for that core.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use socket2::SockRef;

use super::crowd::{self, Crowd};
use super::figures::Spread;
use super::floor;
use super::options::Options;
use super::peer::{Peer, Started};
use super::support::{Certs, Load, tlsramp};

/// One round of one peer: the 99th percentile of the established clients in microseconds, for each of [`STORMS`], and what
/// became of the clients that connect at the same time.
#[derive(Debug)]
pub(crate) struct StormRound {
    pub(crate) peer: Peer,
    p99: [f64; STORMS.len()],
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
    /// The proxy cannot be moved to one core, or a client fails.
    pub(crate) fn measure(
        options: &Options,
        certs: &Certs,
        peer: Peer,
        started: &Started,
    ) -> Result<StormRound, String> {
        started.processes().into_iter().try_for_each(keep_on_first_core)?;
        let (mut p99, mut handshakes, mut crowd) = ([0.0; STORMS.len()], 0.0, None);
        for (storm, cell) in STORMS.into_iter().zip(&mut p99) {
            let stormed;
            (*cell, stormed) = established(options, certs, started.tls, storm)?;
            match stormed {
                Stormed::Nothing => {}
                Stormed::Handshakes(rate) => handshakes = rate,
                Stormed::Crowd(one) => crowd = Some(one),
            }
        }
        Ok(StormRound { peer, p99, handshakes, crowd: crowd.ok_or("no clients came")? })
    }

    /// Median and spread of the latency during a storm, in ratio to the quiet one of the same round.
    pub(crate) fn ratio(rounds: &[StormRound], peer: Peer, storm: Storm) -> Option<Spread> {
        let of_peer = rounds.iter().filter(|round| round.peer == peer);
        Spread::over(of_peer.map(|round| round.p99[storm as usize] / round.p99[Storm::Quiet as usize]))
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

    pub(crate) fn quiet(rounds: &[StormRound], peer: Peer) -> Option<Spread> {
        Spread::over(rounds.iter().filter(|round| round.peer == peer).map(|round| round.p99[Storm::Quiet as usize]))
    }
}

/// Measures 32 established clients during a storm. Returns the 99th percentile of their latency, and what became of the
/// storm's clients.
fn established(options: &Options, certs: &Certs, port: u16, storm: Storm) -> Result<(f64, Stormed), String> {
    let (program, stop) = (tlsramp::program(), AtomicBool::new(false));
    let load = |args, duration| Load {
        program: &program,
        args,
        port,
        ca: Some(&certs.ca),
        warm_up: WARM_UP,
        duration,
        processes: &[],
    };
    let hello = hello(certs)?;
    thread::scope(|scope| {
        let storming =
            match storm {
                Storm::Quiet => None,
                Storm::Handshakes => {
                    let handshakes = load(&HANDSHAKES, options.span + WARM_UP);
                    Some(scope.spawn(move || {
                        handshakes.run().map(|report| Stormed::Handshakes(report.operations_per_second))
                    }))
                }
                Storm::Crowd => Some(scope.spawn(|| {
                    thread::sleep(WARM_UP);
                    crowd::come(certs, port).map(Stormed::Crowd)
                })),
                Storm::Hellos => {
                    for _ in 0..CLIENTS {
                        scope.spawn(|| flood(port, &hello, &stop));
                    }
                    None
                }
            };
        let report = load(&ESTABLISHED, options.span).run();
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
        Ok((report.latency.p99, stormed))
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

/// Moves all threads of a process to the first core.
fn keep_on_first_core(process: i32) -> Result<(), String> {
    let in_words = |error: &dyn std::fmt::Display| format!("process {process}: {error}");
    let mut first = CpuSet::new();
    first.set(0);
    let threads = procfs::process::Process::new(process).and_then(|process| process.tasks());
    for one in threads.map_err(|error| in_words(&error))? {
        let id = one.map_err(|error| in_words(&error))?.tid;
        // A thread may have ended meanwhile.
        let _ = sched_setaffinity(Pid::from_raw(id), &first);
    }
    Ok(())
}

const CLIENTS: usize = 64;
const HANDSHAKES: [&str; 5] = ["connect", "--command", "echo", "--connections", "64"];
const ESTABLISHED: [&str; 3] = ["echo", "--connections", "32"];
const WARM_UP: Duration = Duration::from_millis(500);
