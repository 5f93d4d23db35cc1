//! The walk itself: `disabled`, `allowSSL`, `preferSSL`, `requireSSL`, node by node. No node takes a step before all
//! have taken the one before; clients move to TLS once all nodes take it, and before any requires it.
//!
//! The first thing that is not as the truth table says ends it, as it should end a real upgrade.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::cluster::Cluster;
use super::observe::{opening_of, refused};
use super::screen::Screen;
use super::tally::Of;
use super::text;
use super::truth::{Got, Seen, cells, differences};
use crate::control::{Caller, Change};
use crate::policy::{Mode, Opening, Spelling};
use crate::telemetry::{Outcome, OutcomeSource};

/// How long things last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// After a node's step, before the next.
    pub(super) step: Duration,
    /// After a client has moved.
    pub(super) client: Duration,
}

/// What a walk came to.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Cells of the truth table that were looked at.
    pub(super) observations: u64,
    /// Clients that were refused as they should be: plaintext, TLS.
    pub(super) refused: [u64; 2],
    /// What was not as it should be, in words.
    pub(super) differences: Vec<String>,
}

/// A walk under way.
pub(super) struct Walk<'a> {
    cluster: &'a Cluster,
    screen: &'a Screen,
    pace: Pace,
    /// The mode that each node was told to be in.
    modes: Vec<Mode>,
    findings: Findings,
}

/// Steps of a walk, for a display of how far it has come.
pub(super) const fn steps(nodes: usize, clients: usize) -> usize {
    (Mode::ALL.len() - 1) * nodes + clients
}

impl<'a> Walk<'a> {
    /// Before its first step.
    pub(super) fn new(cluster: &'a Cluster, screen: &'a Screen, pace: Pace) -> Walk<'a> {
        let modes = vec![Mode::Disabled; cluster.nodes.len()];
        Walk { cluster, screen, pace, modes, findings: Findings::default() }
    }

    /// Walks, to the end or to the first difference.
    pub(super) async fn through(mut self) -> Findings {
        for mode in Mode::ALL {
            text::mode(self.screen, mode);
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

    /// Takes a node's step, and looks at all nodes: none may be other than its mode says, the others included.
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
            self.screen.step();
        }
        // Every connection after the change is judged by it: there is nothing to wait for.
        for other in 0..self.modes.len() {
            let seen = self.cluster.look(other).await;
            let different = self.compare(other, &seen);
            if other == place {
                text::row(self.screen, self.cluster.nodes[other].name, &seen, !different);
            }
        }
        sleep(self.pace.step).await;
    }

    /// Whether anything is other than it should be.
    fn compare(&mut self, place: usize, seen: &Seen) -> bool {
        let differences = differences(self.cluster.nodes[place].name, self.modes[place], seen);
        let different = !differences.is_empty();
        self.findings.observations += cells(seen);
        self.findings.refused[0] += u64::from(matches!(seen.plaintext, Got::Error { .. }));
        self.findings.refused[1] += u64::from(matches!(seen.tls, Got::Alert(_)));
        self.findings.differences.extend(differences);
        different
    }

    /// Moves all clients to TLS, one by one, and asks the nodes whether they have.
    async fn move_clients(&mut self) {
        for client in &self.cluster.clients {
            if let Err(why) = client.move_to(self.cluster.tls(client.node)).await {
                self.findings.differences.push(why);
                return;
            }
            self.screen.step();
            sleep(self.pace.client).await;
        }
        let on_tls = self.cluster.clients.iter().filter(|client| {
            let opening = client.local().and_then(|local| opening_of(&self.cluster.nodes[client.node], local));
            opening == Some(Opening::Tls)
        });
        let (moved, all) = (on_tls.count(), self.cluster.clients.len());
        self.findings.observations += all as u64;
        if moved == all {
            text::moved(self.screen, moved);
        } else {
            self.findings.differences.push(format!("all {all} clients should be on TLS, and {moved} are"));
        }
    }

    /// Whether there is no reason to go on.
    fn is_over(&self) -> bool {
        !self.findings.differences.is_empty() || self.cluster.tally.failed() > 0
    }

    /// What the nodes have counted must be what was seen, and nothing else may have gone wrong in them.
    async fn balance(&mut self) {
        let until = Instant::now() + SETTLED;
        // A refused connection is counted once its client is gone, which takes a moment.
        while refused(&self.cluster.nodes) != self.findings.refused && Instant::now() < until {
            sleep(A_MOMENT).await;
        }
        let (counted, seen) = (refused(&self.cluster.nodes), self.findings.refused);
        if counted != seen {
            let text = format!("{seen:?} refusals (plaintext, TLS) were seen, and the nodes counted {counted:?}");
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
        let [operations, heartbeats] = [Of::Client, Of::Node].map(|of| self.cluster.tally.read(of).done);
        if operations == 0 || heartbeats == 0 {
            self.findings.differences.push("clients or nodes did nothing at all".to_owned());
        }
    }
}

/// Longest wait for the nodes' counts.
const SETTLED: Duration = Duration::from_secs(2);
/// Between two looks at them.
const A_MOMENT: Duration = Duration::from_millis(10);
