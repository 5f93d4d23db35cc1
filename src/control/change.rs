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
    /// The requested mode.
    pub to: Mode,
    /// The spelling in the request, which refusals repeat.
    pub spelling: Spelling,
    /// Whether to ignore the ladder (one rung up at a time), unreachable servers and the lease. The mode must still be
    /// one that can be served.
    pub force: bool,
    /// Whether the change is refused if there is any blocker.
    pub guard: bool,
    /// Whether to store the mode in the state file, so that a restart starts in it.
    pub persist: bool,
    /// Whether requesting the mode in force succeeds: true for an idempotent PUT, false for `setParameter`, as in
    /// mongod.
    pub repeatable: bool,
    /// The caller's name. If the lease is held and the change is not forced, this must be the name of the holder.
    pub holder: Option<String>,
}

impl Change {
    /// An unforced, unguarded change to a mode.
    pub const fn to(to: Mode, spelling: Spelling) -> Change {
        Change { to, spelling, force: false, guard: false, persist: false, repeatable: false, holder: None }
    }

    /// A forced change to a mode.
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
    /// The generation of the snapshot with this mode; connections judged from now on have this generation or a later
    /// one.
    pub generation: u64,
    /// Whether this change wrote the mode to the state file, so that a restart starts in it.
    pub persisted: bool,
    /// Warnings, one line each.
    pub warnings: Vec<String>,
}

/// A request to set the members of some replica sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSets {
    /// The members of each set, as `HOST:PORT`. They replace the set's previous members; an empty list removes the set.
    pub sets: BTreeMap<String, Vec<String>>,
    /// Whether to ignore another caller's lease.
    pub force: bool,
    /// The name of the lease's holder, if the caller holds the lease.
    pub holder: Option<String>,
}

/// The result of reading the TLS files again.
#[derive(Debug, Clone)]
pub struct Rotated {
    /// The generation of the snapshot with these files.
    pub generation: u64,
    /// The TLS material in force from now on.
    pub material: Arc<Material>,
    /// Warnings, one line each.
    pub warnings: Vec<String>,
}

/// A request to recycle the connections that the present policy would not make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recycle {
    /// Whether to include connections whose clients may see an error: connections to a server that is in no replica set
    /// or in an unknown state, connections without MongoDB messages, and connections with TLS passed through.
    pub force: bool,
    /// The time after which a connection is cut even within a message; `None`: never.
    pub grace: Option<Duration>,
    /// How long to wait for connections to end; `None`: the default.
    pub wait: Option<Duration>,
}

/// The result of a recycle request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recycled {
    /// Connections whose clients may see an error, or lose an unacknowledged request, if the connections are recycled.
    pub at_risk: usize,
    /// The number of connections at risk that were left open, since `force` was not given.
    pub left_alone: usize,
    /// The reasons why connections are at risk, one line each.
    pub risks: Vec<String>,
    /// Connections that ended at a message boundary.
    pub moved: usize,
    /// Connections that were cut at the end of the grace.
    pub cut: usize,
    /// Connections that client or server ended meanwhile.
    pub ended: usize,
    /// Connections that still wait for a message boundary.
    pub waiting: usize,
    /// Warnings, one line each.
    pub warnings: Vec<String>,
}

/// The result of accepting a client, or of withdrawing the acceptance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedClient {
    /// The client's key.
    pub key: String,
    /// Whether the client is accepted now.
    pub accepted: bool,
    /// Whether a client with this key was ever seen.
    pub known: bool,
}

/// The reason for a refused change. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The ladder does not allow the step.
    #[error("{0}")]
    Transition(#[from] IllegalTransition),
    /// The TLS files cannot serve the mode.
    #[error("cannot serve {mode}: {missing}")]
    Unservable {
        /// The mode that was requested, or the one in force.
        mode: Mode,
        /// The files or options that the mode requires.
        missing: &'static str,
    },
    /// Servers that the mode could not reach.
    #[error("{to} would cut servers off: {}; use force to change anyway", texts(.blockers))]
    Unreachable {
        /// The mode that was requested.
        to: Mode,
        /// The servers, one entry each.
        blockers: Vec<Blocker>,
    },
    /// The guard found blockers.
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
        /// The lease's holder.
        holder: String,
        /// The remaining time of the lease.
        seconds: u64,
    },
    /// Names of members that are not valid.
    #[error("the member names were not changed: {0}")]
    Names(String),
    /// There is no state file to persist to.
    #[error("persist needs a state file; start with --stateFile")]
    NoStateFile,
    /// The state file cannot be written.
    #[error("cannot write the state file {file}: {error}")]
    StateFile {
        /// The path of the state file.
        file: String,
        /// The error from the operating system.
        error: String,
    },
    /// The new TLS files are out of date or incomplete in a way in which those in force are not.
    #[error("the new TLS files are expired or incomplete, unlike those in force: {}; use force to load them \
        anyway", .0.join("; "))]
    Unusable(Vec<String>),
    /// The configuration has mistakes.
    #[error("{}", .0.iter().map(|mistake| mistake.to_string().replace("\n ", ";")).collect::<Vec<_>>().join(" | "))]
    Configuration(Vec<Mistake>),
    /// Too many large answers are in progress.
    #[error("too many large answers are in progress; try again in a second")]
    Busy,
    /// Another process has taken over.
    #[error("a new tlsramp process has replaced this one; send the request again, and it answers")]
    Replaced,
    /// A task has panicked.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Lists the first few blockers in one line. The reply also has the list itself.
fn texts(blockers: &[Blocker]) -> String {
    let mut texts: Vec<_> = blockers.iter().take(BLOCKERS_IN_A_LINE).map(|blocker| blocker.text.clone()).collect();
    if let Some(more) = blockers.len().checked_sub(BLOCKERS_IN_A_LINE).filter(|more| *more > 0) {
        texts.push(format!("and {more} more"));
    }
    texts.join("; ")
}
