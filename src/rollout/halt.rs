//! The reason why a rollout ends early.

use std::fmt::Display;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Halt {
    /// Nothing has failed: the operator has to act first, or a client is still connected.
    Stopped(String),
    /// A node has failed; `--autoRollback` takes all of them back.
    Failed(String),
    /// A node has failed, and all nodes are back in the modes that they had before the rollout.
    TakenBack(String),
    /// A signal was received.
    Interrupted,
}

impl Halt {
    pub(super) fn stopped(node: &str, why: impl Display) -> Halt {
        Halt::Stopped(format!("{node}: {why}"))
    }

    pub(super) fn failed(node: &str, why: impl Display) -> Halt {
        Halt::Failed(format!("{node}: {why}"))
    }
}
