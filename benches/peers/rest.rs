//! What a proxy costs without clients: the time from its start until it listens, its memory, and the size of its program.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use super::figures::Spread;
use super::options::Options;
use super::peer::{Peer, WORKERS};
use super::support::Certs;

/// One start of one peer.
#[derive(Debug)]
pub(crate) struct Rest {
    peer: Peer,
    /// From the start of the process until all of its ports accept connections, in milliseconds.
    listening: f64,
    /// Proportional set size of all of its processes after a second, in megabytes.
    memory: f64,
    /// The program's file, in megabytes. Shared libraries are other files.
    program: f64,
}

impl Rest {
    /// # Errors
    /// The peer does not start, or has no memory.
    pub(crate) fn measure(options: &Options, certs: &Certs, peer: Peer) -> Result<Rest, String> {
        let started = peer.start(&options.tlsramp, certs, WORKERS)?;
        sleep(SETTLE);
        let mut memory = 0;
        for process in started.processes() {
            let maps = procfs::process::Process::new(process).and_then(|process| process.smaps_rollup());
            let maps = maps.map_err(|error| format!("process {process}: {error}"))?;
            let pss = maps.memory_map_rollup.iter().find_map(|map| map.extension.map.get("Pss").copied());
            memory += pss.ok_or_else(|| format!("process {process} has no Pss"))?;
        }
        let file = peer.program(&options.tlsramp)?;
        let program = fs::metadata(&file).map_err(|error| format!("{}: {error}", file.display()))?.len();
        let listening = started.listening.as_secs_f64() * 1e3;
        Ok(Rest { peer, listening, memory: memory as f64 / 1e6, program: program as f64 / 1e6 })
    }

    /// Listening, memory, program.
    pub(crate) fn of(all: &[Rest], peer: Peer) -> Option<[Spread; 3]> {
        let over = |of: fn(&Rest) -> f64| Spread::over(all.iter().filter(|rest| rest.peer == peer).map(of));
        Some([over(|rest| rest.listening)?, over(|rest| rest.memory)?, over(|rest| rest.program)?])
    }
}

/// Envoy and nginx start their workers after they listen.
const SETTLE: Duration = Duration::from_secs(1);
