//! Medians, spreads and ratios. PURE.

use std::collections::BTreeMap;

use super::peer::Peer;
use super::workload::Workload;

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    /// Cost in the unit of the workload; `None` without a proxy.
    pub(crate) cost: Option<f64>,
    /// The part of the cost that is spent in the kernel.
    pub(crate) system: Option<f64>,
    /// Operations per second, or GB/s.
    pub(crate) throughput: f64,
    /// Median latency of an operation, in microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Measurements by workload, peer and round.
#[derive(Debug, Default)]
pub(crate) struct Figures(BTreeMap<(&'static str, Peer, usize), Cell>);

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Figures {
    pub(crate) fn add(&mut self, workload: &'static str, peer: Peer, round: usize, cell: Cell) {
        self.0.insert((workload, peer, round), cell);
    }

    /// Median and spread of one property over the rounds.
    pub(crate) fn spread(&self, workload: &Workload, peer: Peer, of: impl Fn(&Cell) -> Option<f64>) -> Option<Spread> {
        Spread::over(self.of(workload, peer).filter_map(|(_, cell)| of(cell)))
    }

    pub(crate) fn cost(&self, workload: &Workload, peer: Peer) -> Option<Spread> {
        self.spread(workload, peer, |cell| cell.cost)
    }

    pub(crate) fn system(&self, workload: &Workload, peer: Peer) -> Option<Spread> {
        self.spread(workload, peer, |cell| cell.system)
    }

    /// The peer with the lowest cost, of those that are `among` the wanted.
    pub(crate) fn best(&self, workload: &Workload, peers: &[Peer], among: fn(Peer) -> bool) -> Option<Peer> {
        let costs = peers.iter().filter(|peer| among(**peer));
        let costs = costs.filter_map(|peer| Some((self.cost(workload, *peer)?.median, *peer)));
        costs.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, peer)| peer)
    }

    /// The ratio of two costs within each round, so that a disturbance affects both.
    pub(crate) fn ratio(&self, workload: &Workload, one: Peer, other: Peer) -> Option<Spread> {
        let ratios = self.of(workload, one).filter_map(|(round, cell)| {
            let beside = self.0.get(&(workload.key, other, round))?.cost.filter(|cost| *cost > 0.0)?;
            Some(cell.cost? / beside)
        });
        Spread::over(ratios)
    }

    fn of(&self, workload: &Workload, peer: Peer) -> impl Iterator<Item = (usize, &Cell)> {
        let key = workload.key;
        self.0.range((key, peer, 0)..=(key, peer, usize::MAX)).map(|((_, _, round), cell)| (*round, cell))
    }
}

impl Spread {
    pub(crate) fn over(values: impl Iterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Spread { median, least, most })
    }
}
