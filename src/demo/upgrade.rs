//! The upgrade: `disabled`, `allowSSL`, `preferSSL`, `requireSSL`, node by node. No node takes a step before all nodes
//! have taken the previous one. Clients move to TLS once all nodes accept it, and before any node requires it.
//!
//! The first difference from the truth table ends the upgrade, as it should end a real one.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::cluster::Cluster;
use super::observe::{opening_of, refused};
use super::output;
use super::screen::Screen;
use super::tally::CountedKind;
use super::truth_table::{ClientResult, Observation, cells, differences};
use crate::control::{Caller, Change};
use crate::policy::{Mode, Opening, Spelling};
use crate::telemetry::{Outcome, OutcomeSource};

/// Pauses, so that operations run during each step and a viewer can follow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Pause after each step of a node.
    pub(super) step: Duration,
    /// Pause after each client that moved to TLS.
    pub(super) client: Duration,
}

/// The result of an upgrade.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Number of cells of the truth table that were checked.
    pub(super) observations: u64,
    /// Number of clients that were refused by policy: plaintext, TLS.
    pub(super) refused: [u64; 2],
    /// A text for each difference.
    pub(super) differences: Vec<String>,
}

pub(super) struct Upgrade<'a> {
    cluster: &'a Cluster,
    screen: &'a Screen,
    pace: Pace,
    /// The expected mode of each node.
    modes: Vec<Mode>,
    findings: Findings,
}

impl<'a> Upgrade<'a> {
    pub(super) fn new(cluster: &'a Cluster, screen: &'a Screen, pace: Pace) -> Upgrade<'a> {
        let modes = vec![Mode::Disabled; cluster.nodes.len()];
        Upgrade { cluster, screen, pace, modes, findings: Findings::default() }
    }

    /// Runs the upgrade to the end or to the first difference.
    pub(super) async fn run(mut self) -> Findings {
        for mode in Mode::ALL {
            output::mode(self.screen, mode);
            for place in 0..self.modes.len() {
                self.step(place, mode).await;
                if self.is_over() {
                    return self.findings;
                }
            }
            if mode == Mode::Allow {
                self.move_clients().await;
                if self.is_over() {
                    return self.findings;
                }
            }
        }
        self.balance().await;
        self.findings
    }

    /// Changes a node's mode and checks all nodes: each must behave as its own mode requires.
    async fn step(&mut self, place: usize, mode: Mode) {
        let node = &self.cluster.nodes[place];
        if mode != Mode::Disabled {
            match node.app.controller.change_mode(Change::to(mode, Spelling::Ssl), &Caller::PROGRAM).await {
                Ok(_) => self.modes[place] = mode,
                Err(refused) => {
                    self.findings.differences.push(format!("{} refuses mode {mode}: {refused}", node.name));
                    return;
                }
            }
        }
        // The change applies to every later connection, so no wait is needed.
        for other in 0..self.modes.len() {
            let seen = self.cluster.look(other).await;
            let different = self.compare(other, &seen);
            if other == place {
                output::row(self.screen, self.cluster.nodes[other].name, &seen, !different);
            }
        }
        sleep(self.pace.step).await;
    }

    /// Returns whether anything differs.
    fn compare(&mut self, place: usize, seen: &Observation) -> bool {
        let differences = differences(self.cluster.nodes[place].name, self.modes[place], seen);
        let different = !differences.is_empty();
        self.findings.observations += cells(seen);
        self.findings.refused[0] += u64::from(matches!(seen.plaintext, ClientResult::Error { .. }));
        self.findings.refused[1] += u64::from(matches!(seen.tls, ClientResult::Alert(_)));
        self.findings.differences.extend(differences);
        different
    }

    /// Moves all clients to TLS, one by one, and checks how the nodes recorded them.
    async fn move_clients(&mut self) {
        for client in &self.cluster.clients {
            if let Err(why) = client.move_to(self.cluster.tls(client.node)).await {
                self.findings.differences.push(why);
                return;
            }
            sleep(self.pace.client).await;
        }
        let on_tls = self.cluster.clients.iter().filter(|client| {
            let opening = client.local().and_then(|local| opening_of(&self.cluster.nodes[client.node], local));
            opening == Some(Opening::Tls)
        });
        let (moved, all) = (on_tls.count(), self.cluster.clients.len());
        self.findings.observations += all as u64;
        if moved == all {
            output::moved(self.screen, moved);
        } else {
            self.findings.differences.push(format!("all {all} clients should use TLS, but {moved} do"));
        }
    }

    /// Whether anything has failed.
    fn is_over(&self) -> bool {
        !self.findings.differences.is_empty() || self.cluster.tally.failed() > 0
    }

    /// Checks that the nodes have counted the expected refusals and no failures.
    async fn balance(&mut self) {
        let until = Instant::now() + SETTLED;
        // A refused connection is counted when its client has closed it, which takes a moment.
        while refused(&self.cluster.nodes) != self.findings.refused && Instant::now() < until {
            sleep(POLL).await;
        }
        let (counted, seen) = (refused(&self.cluster.nodes), self.findings.refused);
        if counted != seen {
            let text = format!("{seen:?} refusals (plaintext, TLS) were observed, but the nodes counted {counted:?}");
            self.findings.differences.push(text);
        }
        for node in &self.cluster.nodes {
            for outcome in Outcome::ALL {
                let count = node.app.observer.count(outcome);
                if count > 0 && !matches!(outcome.source(), OutcomeSource::None | OutcomeSource::Policy) {
                    let text = format!("{} counts {count} connections that ended as {}", node.name, outcome.name());
                    self.findings.differences.push(text);
                }
            }
        }
        let [operations, heartbeats] =
            [CountedKind::Operation, CountedKind::Heartbeat].map(|of| self.cluster.tally.read(of).done);
        if operations == 0 || heartbeats == 0 {
            self.findings.differences.push("no operation of a client or no heartbeat was counted".to_owned());
        }
    }
}

/// Longest wait for the nodes' counts.
const SETTLED: Duration = Duration::from_secs(10);
/// Interval at which the nodes' counts are read.
const POLL: Duration = Duration::from_millis(10);
