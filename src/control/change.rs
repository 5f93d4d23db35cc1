//! What can be asked of the controller and what it answers: a change, how it was made, why it was not.

use serde::{Deserialize, Serialize};

use super::views::Blocker;
use crate::config::Mistake;
use crate::limits::BLOCKERS_IN_A_LINE;
use crate::policy::{IllegalTransition, Mode, Spelling};

/// A change of mode, as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The mode wanted.
    pub to: Mode,
    /// The spelling it was asked in, which refusals use.
    pub spelling: Spelling,
    /// To any mode that can be served, whatever the ladder, the upstreams and the lease say.
    pub force: bool,
    /// Warnings are refusals.
    pub guard: bool,
    /// A restart starts in this mode too.
    pub persist: bool,
    /// Whether the mode in force may be asked for again: mongod's ladder says no, an idempotent PUT says yes.
    pub repeatable: bool,
    /// In whose name, where a lease is held.
    pub holder: Option<String>,
}

impl Change {
    /// A plain step to a mode.
    #[must_use]
    pub const fn to(to: Mode, spelling: Spelling) -> Change {
        Change { to, spelling, force: false, guard: false, persist: false, repeatable: false, holder: None }
    }

    /// The same, by force.
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
    /// Whether a restart starts in it by the state file.
    pub persisted: bool,
    /// What was worth a word, one line each.
    pub warnings: Vec<String>,
}

/// A wish to move connections that today's policy would not make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Recycle {
    /// Those too whose clients may see an error: a server that is no set member, no MongoDB, or TLS passed through.
    pub force: bool,
    /// After so many seconds, a connection is cut wherever it is.
    pub grace_secs: Option<u64>,
    /// How long the answer waits for connections to have moved, in seconds.
    pub wait_secs: Option<u64>,
}

/// Why a change was not made. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The ladder does not have the step.
    #[error("{0}")]
    Transition(#[from] IllegalTransition),
    /// The TLS files at hand cannot serve the mode.
    #[error("cannot serve {mode}: {missing}")]
    Unservable {
        /// The mode asked for, or in force.
        mode: Mode,
        /// What it takes.
        missing: &'static str,
    },
    /// Upstreams that the mode could not reach.
    #[error("{to} would cut off: {}; force takes it all the same", texts(.blockers))]
    Unreachable {
        /// The mode asked for.
        to: Mode,
        /// Each of them.
        blockers: Vec<Blocker>,
    },
    /// The guard was asked for, and has found something.
    #[error("the guard refuses {to}: {}", texts(.blockers))]
    Guarded {
        /// The mode asked for.
        to: Mode,
        /// Each finding.
        blockers: Vec<Blocker>,
    },
    /// Another holds the lease.
    #[error("{holder} holds the lease for another {seconds} s; wait, or force")]
    Leased {
        /// Who.
        holder: String,
        /// For how long still.
        seconds: u64,
    },
    /// Names of members that cannot be taken.
    #[error("no name was taken: {0}")]
    Names(String),
    /// There is nowhere to persist to.
    #[error("persist needs a state file; start with --stateFile")]
    NoStateFile,
    /// The state file cannot be written.
    #[error("cannot write the state file {file}: {error}")]
    StateFile {
        /// Its path.
        file: String,
        /// What the system says.
        error: String,
    },
    /// TLS files that are out of date, in place of some that are not.
    #[error("the new TLS files are out of date or incomplete, and those in force are not: {}; force takes them all the same", .0.join("; "))]
    Unusable(Vec<String>),
    /// The configuration has mistakes.
    #[error("{}", .0.iter().map(|mistake| mistake.to_string().replace("\n ", ";")).collect::<Vec<_>>().join(" | "))]
    Configuration(Vec<Mistake>),
    /// Too much is being read at the same time.
    #[error("too many answers of this kind are being made or sent; ask again in a second")]
    Busy,
    /// A task of ours has failed.
    #[error("tlsramp failed at it: {0}")]
    Internal(String),
}

/// The first few: this goes into one line. All that are shown at all are beside it in the answer.
fn texts(blockers: &[Blocker]) -> String {
    let mut texts: Vec<_> = blockers.iter().take(BLOCKERS_IN_A_LINE).map(|blocker| blocker.text.clone()).collect();
    if let Some(more) = blockers.len().checked_sub(BLOCKERS_IN_A_LINE).filter(|more| *more > 0) {
        texts.push(format!("and {more} more"));
    }
    texts.join("; ")
}
