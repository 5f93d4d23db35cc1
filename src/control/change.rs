//! Requests to the controller, their results and errors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::blocker::Blocker;
use crate::config::Mistake;
use crate::limits::BLOCKERS_IN_A_LINE;
use crate::policy::{IllegalTransition, Mode, Spelling};
use crate::tls::Material;

/// A request to change the mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The mode wanted.
    pub to: Mode,
    /// The spelling of the request, which refusals use.
    pub spelling: Spelling,
    /// Whether ladder, servers and lease are ignored: any mode that can be served is taken.
    pub force: bool,
    /// Whether the change is refused if there is any blocker.
    pub guard: bool,
    /// Whether a restart starts in this mode too.
    pub persist: bool,
    /// Whether the mode in force may be requested again: not by mongod's ladder, but by an idempotent PUT.
    pub repeatable: bool,
    /// The name that a lease is compared with.
    pub holder: Option<String>,
}

impl Change {
    /// A plain step to a mode.
    #[must_use]
    pub const fn to(to: Mode, spelling: Spelling) -> Change {
        Change { to, spelling, force: false, guard: false, persist: false, repeatable: false, holder: None }
    }

    /// A forced change to a mode.
    #[must_use]
    pub fn forced(to: Mode, spelling: Spelling) -> Change {
        Change { force: true, ..Change::to(to, spelling) }
    }
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The mode before.
    pub was: Mode,
    /// The mode in force.
    pub mode: Mode,
    /// The snapshot that has it; every connection judged from now on has this generation or a later one.
    pub generation: u64,
    /// Whether the state file makes a restart start in this mode.
    pub persisted: bool,
    /// Warnings, one line each.
    pub warnings: Vec<String>,
}

/// The members of some replica sets, to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSets {
    /// The members of each set, as `HOST:PORT`, in place of those set before; none removes the set.
    pub sets: BTreeMap<String, Vec<String>>,
    /// Whether another caller's lease is ignored.
    pub force: bool,
    /// The name of the lease's holder, if the caller holds the lease.
    pub holder: Option<String>,
}

/// TLS files that were read again.
#[derive(Debug, Clone)]
pub struct Rotated {
    /// The snapshot that has them.
    pub generation: u64,
    /// The material that is in force from now on.
    pub material: Arc<Material>,
    /// Warnings, one line each.
    pub warnings: Vec<String>,
}

/// A request to move connections that today's policy would not make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recycle {
    /// Also connections whose clients may see an error: of a server outside any set, without MongoDB, with TLS passed through.
    pub force: bool,
    /// The time after which a connection is cut, whether or not it is at a message boundary.
    pub grace: Option<Duration>,
    /// How long to wait for connections to move.
    pub wait: Option<Duration>,
}

/// The result of a request to move connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recycled {
    /// Connections whose clients may see an error, or lose a request without acknowledgement, if they are moved.
    pub at_risk: usize,
    /// The number of these connections that stay, since `force` was not given.
    pub left_alone: usize,
    /// Why they are at risk, one line for each reason.
    pub risks: Vec<String>,
    /// Moved at a message boundary.
    pub moved: usize,
    /// Cut at the end of the grace.
    pub cut: usize,
    /// Ended by client or server meanwhile.
    pub ended: usize,
    /// Still waiting for a message boundary.
    pub waiting: usize,
    /// Warnings, one line each.
    pub warnings: Vec<String>,
}

/// A client whose loss an operator has accepted, or no longer accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedClient {
    /// Its key.
    pub key: String,
    /// Whether it is accepted now.
    pub accepted: bool,
    /// Whether a client with this key was ever seen.
    pub known: bool,
}

/// Why a change was refused. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The ladder does not allow the step.
    #[error("{0}")]
    Transition(#[from] IllegalTransition),
    /// The TLS files at hand cannot serve the mode.
    #[error("cannot serve {mode}: {missing}")]
    Unservable {
        /// The mode that was requested, or is in force.
        mode: Mode,
        /// A description of what the mode requires.
        missing: &'static str,
    },
    /// Servers that the mode could not reach.
    #[error("{to} would cut off: {}; use force to change anyway", texts(.blockers))]
    Unreachable {
        /// The mode that was requested.
        to: Mode,
        /// The servers, one entry each.
        blockers: Vec<Blocker>,
    },
    /// The guard has found blockers.
    #[error("the guard refuses {to}: {}", texts(.blockers))]
    Guarded {
        /// The mode that was requested.
        to: Mode,
        /// The blockers.
        blockers: Vec<Blocker>,
    },
    /// Another caller holds the lease.
    #[error("{holder} holds the lease for another {seconds} s; wait, or use force")]
    Leased {
        /// Its holder.
        holder: String,
        /// The time that is left.
        seconds: u64,
    },
    /// Names of members that are not valid.
    #[error("no member name was set: {0}")]
    Names(String),
    /// There is no state file to persist to.
    #[error("persist needs a state file; start with --stateFile")]
    NoStateFile,
    /// The state file cannot be written.
    #[error("cannot write the state file {file}: {error}")]
    StateFile {
        /// Its path.
        file: String,
        /// The error of the system.
        error: String,
    },
    /// TLS files that are out of date, while those in force are not.
    #[error("the new TLS files are expired or incomplete, and those in force are not: {}; use force to load them \
        anyway", .0.join("; "))]
    Unusable(Vec<String>),
    /// The configuration has mistakes.
    #[error("{}", .0.iter().map(|mistake| mistake.to_string().replace("\n ", ";")).collect::<Vec<_>>().join(" | "))]
    Configuration(Vec<Mistake>),
    /// Too many large answers are under way.
    #[error("too many large answers are in progress; try again in a second")]
    Busy,
    /// A task has panicked.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Lists the first few entries in one line. The answer has the whole list too.
fn texts(blockers: &[Blocker]) -> String {
    let mut texts: Vec<_> = blockers.iter().take(BLOCKERS_IN_A_LINE).map(|blocker| blocker.text.clone()).collect();
    if let Some(more) = blockers.len().checked_sub(BLOCKERS_IN_A_LINE).filter(|more| *more > 0) {
        texts.push(format!("and {more} more"));
    }
    texts.join("; ")
}
