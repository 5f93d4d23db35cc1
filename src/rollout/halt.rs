//! Why a rollout does not go on.

/// Why it does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Halt {
    /// Nothing has failed: something has to be done first, or someone has to be waited for.
    Stopped(String),
    /// A node has failed, and `--autoRollback` takes all of them back.
    Failed(String),
    /// A node has failed, and all are back where they began.
    TakenBack(String),
    /// A signal.
    Interrupted,
}

impl Halt {
    /// The same of a node.
    pub(super) fn stopped(node: &str, why: impl std::fmt::Display) -> Halt {
        Halt::Stopped(format!("{node}: {why}"))
    }

    /// The same of a node.
    pub(super) fn failed(node: &str, why: impl std::fmt::Display) -> Halt {
        Halt::Failed(format!("{node}: {why}"))
    }
}
