//! The reason why a rollout ends early.

use std::fmt::Display;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Halt {
    /// Nothing has failed: the operator has to act first, or a client is still connected.
    Stopped(String),
    /// A node has failed; `--autoRollback` takes all nodes back.
    Failed(String),
    /// All nodes are back in earlier modes, but a node has failed: in the upgrade, or in the check from outside after a
    /// step back.
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
