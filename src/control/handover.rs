//! The state that is handed over to the process that replaces this one.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::caller::Caller;
use super::lease::LeaseHeld;
use super::state_file::{PersistedMode, SavedState};

/// Whether the controller takes changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangePhase {
    Open,
    /// The state is being handed over.
    Frozen,
    /// Another process has the state.
    Replaced,
}

/// The state that the next process takes over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handover {
    /// The mode in force, with the configured mode.
    pub mode: PersistedMode,
    /// The generation in force.
    pub generation: u64,
    /// When the configuration in force was read.
    #[serde(default)]
    pub read_at: Option<SystemTime>,
    /// Who changed the mode last, and when.
    pub mode_change: ModeChange,
    /// The lease, if it is held.
    pub lease: Option<LeaseHeld>,
    /// What the state file holds.
    pub saved: SavedState,
}

/// The last change of the mode.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModeChange {
    /// The time of the change, or of the start.
    pub since: SystemTime,
    /// The caller; `None` for the mode at the start.
    pub by: Option<Caller>,
}

/// State that a process hands over to the one that replaces it, and that a restart loses.
#[derive(Debug)]
pub struct Carried {
    /// The last change of the mode.
    pub mode_change: ModeChange,
    /// The lease, if it is held.
    pub lease: Option<LeaseHeld>,
    /// Whether the mode of the replaced process stays in force.
    pub mode_kept: bool,
}
