//! The audit lines: who asked, by which door, for what, and what came of it.

use super::caller::Caller;
use super::change::{Change, Changed, Refused};

/// A change of mode, made or refused.
pub(super) fn change(change: &Change, outcome: &Result<Changed, Refused>, caller: &Caller) {
    let (door, by, forced, persist) = (caller.door.name(), &caller.who, change.force, change.persist);
    let to = change.to;
    match outcome {
        Ok(Changed { was, mode, .. }) if was == mode => {
            tracing::info!(%mode, door, %by, forced, persist, "mode kept");
        }
        Ok(Changed { was, mode, generation, .. }) if forced => {
            tracing::warn!(%was, %mode, generation, door, %by, forced, persist, "mode changed by force");
        }
        Ok(Changed { was, mode, generation, .. }) => {
            tracing::info!(%was, %mode, generation, door, %by, forced, persist, "mode changed");
        }
        Err(error) => tracing::warn!(%to, %error, door, %by, forced, "mode change refused"),
    }
}

/// A reload, made or refused. A mode that it changed is told as any change is.
pub(super) fn reload(outcome: &Result<Changed, Refused>, caller: &Caller) {
    let (door, by) = (caller.door.name(), &caller.who);
    match outcome {
        Ok(Changed { was, mode, generation, .. }) => {
            if was != mode {
                tracing::info!(%was, %mode, generation, door, %by, forced = false, persist = false, "mode changed");
            }
            tracing::info!(%mode, generation, door, %by, "reloaded");
        }
        Err(error) => tracing::error!(%error, door, %by, "reload refused: everything stays as it was"),
    }
}
