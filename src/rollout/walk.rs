//! What every step needs: where the nodes are, that all are well, that nobody else is among them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::behind::{LastModes, behind};
use super::findings;
use super::fleet::{Fleet, NoAnswer};
use super::halt::Halt;
use super::interrupt::Interrupt;
use super::journal::Journal;
use super::lease::Leases;
use super::member_names::Sets;
use super::node::{Node, State};
use super::peers::{self, Known, Resolved, Sight, Stranger};
use super::plan::{Place, Role};
use super::screen::Screen;
use crate::limits::{ROLLOUT_HEALTH, ROLLOUT_LOOK, ROLLOUT_RESOLVE, ROLLOUT_UNREACHED};
use crate::policy::Mode;
use crate::telemetry::now_millis;

/// A rollout under way.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) fleet: Arc<Fleet>,
    pub(super) screen: Screen,
    pub(super) journal: Journal,
    pub(super) interrupt: Interrupt,
    pub(super) leases: Leases,
    /// How long clients and old connections are waited for, each time.
    pub(super) wait: Duration,
    /// Old connections are cut after so many seconds; `None`: never.
    pub(super) grace: Option<u64>,
    /// Whether `disabled` may turn TLS clients away.
    pub(super) force: bool,
    pub(super) resolved: Mutex<Resolved>,
    /// The members' names that every node was given.
    pub(super) named: Mutex<Option<Sets>>,
    /// The mode that each node was last changed to, by the log and by this rollout.
    pub(super) last_modes: Mutex<LastModes>,
    /// Each node as it was last seen.
    pub(super) seen: Mutex<Vec<Option<Node>>>,
}

impl Walk {
    /// Whether to go on.
    ///
    /// # Errors
    /// A signal has come, or the lease is another's.
    pub(super) fn check(&self) -> Result<(), Halt> {
        self.interrupt.check()?;
        self.leases.check()
    }

    /// Where all nodes are, once all are well; an election or a restart is waited for, within a bound.
    ///
    /// # Errors
    /// Who is not well, what does not belong together, or a signal.
    pub(super) async fn healthy(&self, target: Mode) -> Result<Vec<Node>, Halt> {
        let began = Instant::now();
        loop {
            self.check()?;
            let nodes = self.reached().await?;
            let found = findings::all(&nodes, target);
            if found.is_empty() {
                return Ok(nodes);
            }
            let text = findings::in_words(&found, &self.fleet.names());
            if !found.iter().all(|one| one.passing) {
                return Err(Halt::Stopped(text));
            }
            if began.elapsed() >= ROLLOUT_HEALTH {
                return Err(Halt::Failed(text));
            }
            for one in &found {
                self.screen.doing(one.node.unwrap_or(0), format!("waiting: {}", one.text));
            }
            self.interrupt.pause(ROLLOUT_LOOK).await?;
        }
    }

    /// Where all nodes are; one that cannot be reached is tried again for a while.
    ///
    /// # Errors
    /// Who cannot be reached, or a signal.
    pub(super) async fn reached(&self) -> Result<Vec<Node>, Halt> {
        let began = Instant::now();
        loop {
            let answers = self.fleet.look().await;
            self.remember(&answers);
            match all_of(answers) {
                Ok(nodes) => {
                    self.screen.places(&nodes);
                    return Ok(nodes);
                }
                Err((node, error)) if began.elapsed() >= ROLLOUT_UNREACHED => {
                    return Err(Halt::failed(self.fleet.name(node), error));
                }
                Err((node, error)) => self.screen.doing(node, format!("waiting: {error}")),
            }
            self.interrupt.pause(ROLLOUT_LOOK).await?;
        }
    }

    /// Checks that every mongod and mongos that the nodes have to do with is one of them.
    ///
    /// # Errors
    /// Each that is not.
    pub(super) async fn no_strangers(&self, nodes: &[Node]) -> Result<(), Halt> {
        let survey = survey(&self.fleet, nodes, &self.resolved).await;
        let found = survey.map_err(|(node, error)| Halt::failed(self.fleet.name(node), error))?.strangers();
        if found.is_empty() {
            return Ok(());
        }
        let lines: Vec<_> =
            found.iter().map(|one| format!("{} sees {}", self.fleet.name(one.node), one.text)).collect();
        Err(Halt::Stopped(lines.join("\n")))
    }

    /// Checks, for the way back, that no live member is left behind in a mode that the others leave. One that is gone is
    /// no reason to stop: its name is told, and the others go on.
    ///
    /// # Errors
    /// Each live one.
    pub(super) async fn no_live_strangers(&self, nodes: &[Node]) -> Result<(), Halt> {
        let survey = survey(&self.fleet, nodes, &self.resolved).await;
        let survey = survey.map_err(|(node, error)| Halt::failed(self.fleet.name(node), error))?;
        let mut live = survey.strangers();
        live.extend(peers::answering(nodes, &survey.known, &survey.resolved));
        for one in findings::missing(nodes) {
            self.screen.say(format_args!("{}", one.text));
            self.journal.note(&one.text);
        }
        if live.is_empty() {
            return Ok(());
        }
        let lines: Vec<_> = live.iter().map(|one| format!("{} sees {}", self.fleet.name(one.node), one.text)).collect();
        if self.force {
            for line in &lines {
                self.screen.say(line);
                self.journal.note(line);
            }
            return Ok(());
        }
        Err(Halt::Stopped(format!("{}\n{LEFT_BEHIND}", lines.join("\n"))))
    }

    /// Each node as it was last seen; those of `nodes` that were seen since are passed over.
    pub(super) fn last(&self, nodes: Vec<Node>) -> Vec<Node> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.into_iter().enumerate().map(|(place, node)| seen.get(place).cloned().flatten().unwrap_or(node)).collect()
    }

    /// A change was acknowledged: that is where a node was last seen, should it be gone now.
    pub(super) fn has_changed(&self, place: usize, mode: Mode) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(node)) = seen.get_mut(place) {
            node.mode = mode;
        }
        let mut last = self.last_modes.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(self.fleet.name(place).to_owned(), mode);
    }

    /// Names the nodes whose mode fell behind. They go first, since the lowest do.
    pub(super) fn tell_behind(&self, nodes: &[Node]) {
        let last = self.last_modes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (node, text) in behind(nodes, &last) {
            self.tell(node, &text);
        }
    }

    fn remember(&self, answers: &[Result<Node, NoAnswer>]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.resize(answers.len(), None);
        for (seen, now) in seen.iter_mut().zip(answers) {
            if let Ok(now) = now {
                *seen = Some(now.clone());
            }
        }
    }

    /// A word on a node, for the screen and for the record.
    pub(super) fn tell(&self, node: usize, text: &str) {
        self.screen.doing(node, text);
        self.journal.note(format_args!("{}: {text}", self.fleet.name(node)));
    }
}

/// Whom the nodes see, and where the nodes themselves are.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) sights: Vec<Sight>,
    pub(super) known: Known,
    pub(super) resolved: Resolved,
}

impl Survey {
    /// Who is among the nodes' peers and no node.
    pub(super) fn strangers(&self) -> BTreeSet<Stranger> {
        peers::strangers(&self.known, &self.sights, &self.resolved, now_millis())
    }
}

/// Asks the nodes whom they see, and looks up the names in that.
///
/// # Errors
/// Who has not answered.
pub(super) async fn survey(
    fleet: &Fleet,
    nodes: &[Node],
    resolved: &Mutex<Resolved>,
) -> Result<Survey, (usize, NoAnswer)> {
    let sights = all_of(fleet.sights().await)?;
    let publics = fleet.publics();
    let known = || resolved.lock().unwrap_or_else(PoisonError::into_inner);
    for name in peers::names(nodes, &publics, &sights) {
        // What is not found now is not looked for before every step again.
        if !known().contains_key(&name) {
            let addresses = resolve(&name).await;
            known().insert(name, addresses);
        }
    }
    let resolved = known().clone();
    Ok(Survey { sights, known: Known::of(nodes, &publics, &resolved), resolved })
}

/// Where the nodes stand on the ladder.
pub(super) fn places(nodes: &[Node]) -> Vec<Place> {
    nodes.iter().map(|node| place(node, true)).collect()
}

/// Where a node stands on the ladder.
pub(super) fn place(node: &Node, able: bool) -> Place {
    let role = match node.state() {
        State::Primary => Role::Primary,
        State::Outbound => Role::Outbound,
        State::Secondary | State::Arbiter | State::Other | State::Standalone | State::Mongos | State::Unknown => {
            Role::Other
        }
    };
    Place { mode: node.mode, role, able }
}

/// All answers, or the first that is none.
pub(super) fn all_of<T>(answers: Vec<Result<T, NoAnswer>>) -> Result<Vec<T>, (usize, NoAnswer)> {
    answers.into_iter().enumerate().map(|(node, answer)| answer.map_err(|error| (node, error))).collect()
}

const LEFT_BEHIND: &str = "a member that is left in its mode is cut off when the others leave it: list it as --node; --force \
     goes on without it";

async fn resolve(name: &str) -> Vec<IpAddr> {
    match timeout(ROLLOUT_RESOLVE, lookup_host((name, 0))).await {
        Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}
