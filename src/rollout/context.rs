//! The parts that all steps of a rollout share: the nodes, their last known state, waiting until they are healthy, and
//! reports to the operator.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::display::LiveDisplay;
use super::fleet::{AnswerError, Fleet, all_of};
use super::halt::Halt;
use super::health;
use super::interrupt::Interrupt;
use super::journal::Journal;
use super::lagging::{LastModes, lagging};
use super::lease::Leases;
use super::limits::{FAILED_REQUESTS, POLL, UNHEALTHY, UNREACHED};
use super::node::Node;
use super::peers::ResolvedHosts;
use crate::policy::Mode;

/// The members' names by replica set, in lower case.
pub(super) type MemberNames = BTreeMap<String, Vec<String>>;

#[derive(Debug)]
pub(super) struct Rollout {
    pub(super) fleet: Arc<Fleet>,
    pub(super) display: LiveDisplay,
    pub(super) journal: Journal,
    pub(super) interrupt: Interrupt,
    pub(super) leases: Leases,
    /// The maximum time of each wait for clients and old connections.
    pub(super) wait: Duration,
    /// Seconds after which old connections are cut; `None`: they are not cut.
    pub(super) grace: Option<u64>,
    /// Whether `disabled` may refuse TLS clients, and whether unlisted members may be left in a higher mode.
    pub(super) force: bool,
    pub(super) resolved: RefCell<ResolvedHosts>,
    /// The member names that all nodes were last given.
    pub(super) given_names: RefCell<Option<MemberNames>>,
    /// The last mode change of each node, according to the log and to this rollout.
    pub(super) last_modes: RefCell<LastModes>,
    /// The last known state of each node.
    pub(super) last_seen: RefCell<Vec<Option<Node>>>,
    pub(super) failed_requests: Cell<u32>,
}

impl Rollout {
    /// # Errors
    /// A signal was received, or another holder has taken a lease.
    pub(super) fn check(&self) -> Result<(), Halt> {
        self.interrupt.check()?;
        self.leases.check()
    }

    /// Waits, within a bound, until all nodes are healthy: an election or a restart is transient.
    ///
    /// # Errors
    /// Each remaining problem, or a signal.
    pub(super) async fn healthy(&self, target: Mode) -> Result<Vec<Node>, Halt> {
        let began = Instant::now();
        loop {
            self.check()?;
            let nodes = self.reached().await?;
            let problems = health::problems(&nodes, target);
            if problems.is_empty() {
                return Ok(nodes);
            }
            let text = health::text(&problems, &self.fleet.names());
            if !problems.iter().all(|problem| problem.transient) {
                return Err(Halt::Stopped(text));
            }
            if began.elapsed() >= UNHEALTHY {
                return Err(Halt::Failed(text));
            }
            for problem in &problems {
                self.display.event(problem.node.unwrap_or(0), format!("waiting: {}", problem.text));
            }
            self.interrupt.pause(POLL).await?;
        }
    }

    /// The state of all nodes. A node that cannot be reached is tried again, within a bound.
    ///
    /// # Errors
    /// A node that cannot be reached, or a signal.
    pub(super) async fn reached(&self) -> Result<Vec<Node>, Halt> {
        let began = Instant::now();
        loop {
            let answers = self.fleet.look().await;
            self.remember(&answers);
            match all_of(answers) {
                Ok(nodes) => {
                    self.display.nodes(&nodes);
                    return Ok(nodes);
                }
                Err((node, error)) if began.elapsed() >= UNREACHED => return Err(self.no_answer(node, &error)),
                Err((node, error)) => self.display.event(node, format!("waiting: {error}")),
            }
            self.interrupt.pause(POLL).await?;
        }
    }

    /// The result of a request. `None`: the request failed, for example while a node was restarted, but all nodes can
    /// be reached again, so it may be tried again.
    ///
    /// # Errors
    /// The request failed too many times in a row.
    pub(super) async fn tolerate<T>(&self, result: Result<T, Halt>) -> Result<Option<T>, Halt> {
        let failed = self.failed_requests.get();
        match result {
            Err(Halt::Failed(_)) if failed < FAILED_REQUESTS => {
                self.failed_requests.set(failed + 1);
                self.reached().await.map(|_| None)
            }
            result => {
                self.failed_requests.set(0);
                result.map(Some)
            }
        }
    }

    /// The last known state of each node; if there is none, the state in `nodes`.
    pub(super) fn last_known(&self, nodes: Vec<Node>) -> Vec<Node> {
        let seen = self.last_seen.borrow();
        nodes.into_iter().enumerate().map(|(place, node)| seen.get(place).cloned().flatten().unwrap_or(node)).collect()
    }

    /// Records a mode change that a node has acknowledged.
    pub(super) fn has_changed(&self, place: usize, mode: Mode) {
        if let Some(Some(node)) = self.last_seen.borrow_mut().get_mut(place) {
            node.mode = mode;
        }
        self.last_modes.borrow_mut().insert(self.fleet.name(place).to_owned(), mode);
    }

    /// Reports the nodes whose mode has fallen behind.
    pub(super) fn tell_lagging(&self, nodes: &[Node]) {
        for (node, text) in lagging(nodes, &self.last_modes.borrow()) {
            self.tell(node, &text);
        }
    }

    fn remember(&self, answers: &[Result<Node, AnswerError>]) {
        let mut seen = self.last_seen.borrow_mut();
        seen.resize(answers.len(), None);
        for (seen, now) in seen.iter_mut().zip(answers) {
            if let Ok(now) = now {
                *seen = Some(now.clone());
            }
        }
    }

    /// Reports an event of a node, on the screen and in the log.
    pub(super) fn tell(&self, node: usize, text: &str) {
        self.display.event(node, text);
        self.journal.note(format_args!("{}: {text}", self.fleet.name(node)));
    }

    /// As [`Rollout::tell`], unless this was the node's last event.
    pub(super) fn tell_changed(&self, node: usize, text: &str) {
        if !self.display.is_last_event(node, text) {
            self.tell(node, text);
        }
    }

    /// Reports an event that concerns no single node, on the screen and in the log.
    pub(super) fn tell_all(&self, text: &str) {
        self.display.line(text);
        self.journal.note(text);
    }

    pub(super) fn no_answer(&self, node: usize, error: &AnswerError) -> Halt {
        Halt::failed(self.fleet.name(node), error)
    }
}
