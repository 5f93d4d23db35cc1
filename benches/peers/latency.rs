//! The latency that a proxy adds to a request: open loop, so that a request that has to wait counts from when it was due.

use super::figures::Spread;
use super::options::Options;
use super::peer::{Peer, Started};
use super::support::{Certs, Load, tlsramp};

/// Requests a second over all connections: a fraction of what every proxy can carry.
const RATE: &str = "5000";

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) tls: bool,
    pub(crate) connections: &'static str,
}

pub(crate) const SETTINGS: [Setting; 6] = [
    Setting { tls: false, connections: "1" },
    Setting { tls: false, connections: "8" },
    Setting { tls: false, connections: "64" },
    Setting { tls: true, connections: "1" },
    Setting { tls: true, connections: "8" },
    Setting { tls: true, connections: "64" },
];

/// The latencies of one peer in one round, in microseconds: p50, p99 and p99.9 of each setting; `None` without plaintext.
#[derive(Debug)]
pub(crate) struct LatencyRound {
    peer: Peer,
    round: usize,
    cells: [Option<[f64; 3]>; SETTINGS.len()],
}

impl LatencyRound {
    /// # Errors
    /// A request fails.
    pub(crate) fn measure(
        options: &Options,
        certs: &Certs,
        peer: Peer,
        started: &Started,
        round: usize,
    ) -> Result<LatencyRound, String> {
        let mut cells = [None; SETTINGS.len()];
        for (setting, cell) in SETTINGS.into_iter().zip(&mut cells) {
            let Some(port) = (if setting.tls { Some(started.tls) } else { started.plain }) else { continue };
            let load = Load {
                program: &tlsramp::program(),
                launcher: &[],
                args: &["echo", "--rate", RATE, "--connections", setting.connections],
                port,
                ca: setting.tls.then_some(&certs.ca),
                warm_up: options.span / 2,
                duration: options.span,
                processes: &[],
            };
            let report = load.run()?;
            if report.failed() > 0 {
                return Err(format!("{} requests failed: {}", report.failed(), report.errors_text()));
            }
            *cell = Some([report.latency.p50, report.latency.p99, report.latency.p999]);
        }
        Ok(LatencyRound { peer, round, cells })
    }

    /// p50, p99 and p99.9 of a peer, less the server's own of the same round.
    pub(crate) fn added(rounds: &[LatencyRound], peer: Peer, setting: Setting) -> Option<[Spread; 3]> {
        let place = SETTINGS.iter().position(|one| *one == setting)?;
        let of = |peer, round| rounds.iter().find(|one| one.peer == peer && one.round == round)?.cells[place];
        let last = rounds.iter().map(|one| one.round).max()?;
        let added = |percentile: usize| {
            Spread::over(
                (0..=last)
                    .filter_map(|round| Some(of(peer, round)?[percentile] - of(Peer::Direct, round)?[percentile])),
            )
        };
        Some([added(0)?, added(1)?, added(2)?])
    }
}
