//! The audit lines: who asked, by which door, for what, and what came of it. The same goes into the history.

use super::caller::Caller;
use super::change::{Change, ChangeError, Changed};
use super::history::{Event, History};
use super::views::Action;
use crate::policy::Mode;

/// A change of mode, made or refused.
pub(crate) fn change(history: &History, change: &Change, outcome: &Result<Changed, ChangeError>, caller: &Caller) {
    let (door, by, forced, persist) = (caller.door.name(), &caller.who, change.force, change.persist);
    let to = change.to;
    let with = match (forced, persist) {
        (false, false) => "",
        (true, false) => ", forced",
        (false, true) => ", persisted",
        (true, true) => ", forced, persisted",
    };
    let event = match outcome {
        Ok(Changed { was, mode, generation, .. }) if was == mode => {
            tracing::info!(%mode, door, %by, forced, persist, "mode kept");
            Event::kept(Action::Mode, format!("{mode}{with}")).in_generation(*generation)
        }
        Ok(Changed { was, mode, generation, .. }) => {
            if forced {
                tracing::warn!(%was, %mode, generation, door, %by, forced, persist, "mode changed by force");
            } else {
                tracing::info!(%was, %mode, generation, door, %by, forced, persist, "mode changed");
            }
            Event::done(Action::Mode, format!("{was} -> {mode}{with}")).in_generation(*generation)
        }
        Err(error) => {
            tracing::warn!(%to, %error, door, %by, forced, "mode change refused");
            Event::refused(Action::Mode, format!("to {to}{with}"), error)
        }
    };
    history.note(event, caller);
}

/// A reload, made or refused. A mode that it changed is told as any change is.
pub(crate) fn reload(history: &History, outcome: &Result<Changed, ChangeError>, forced: bool, caller: &Caller) {
    let (door, by) = (caller.door.name(), &caller.who);
    let event = match outcome {
        Ok(Changed { was, mode, generation, .. }) => {
            if was != mode {
                tracing::info!(%was, %mode, generation, door, %by, forced = false, persist = false, "mode changed");
            }
            tracing::info!(%mode, generation, door, %by, forced, "reloaded");
            let what = if was == mode { format!("mode stays {mode}") } else { format!("mode {was} -> {mode}") };
            let what = if forced { format!("{what}, forced") } else { what };
            Event::done(Action::Reload, what).in_generation(*generation)
        }
        Err(error) => {
            tracing::error!(%error, door, %by, "reload refused: everything stays as it was");
            Event::refused(Action::Reload, "configuration", error)
        }
    };
    history.note(event, caller);
}

/// Certificates read again, or refused; `subject` is that of the one that is shown from now on.
pub(crate) fn rotation(
    history: &History,
    outcome: Result<(u64, Option<String>), &ChangeError>,
    forced: bool,
    caller: &Caller,
) {
    let (door, by) = (caller.door.name(), &caller.who);
    let event = match outcome {
        Ok((generation, shown)) => {
            tracing::info!(generation, door, %by, forced, "certificates rotated");
            let what = shown.unwrap_or_else(|| "no certificate of ours".to_owned());
            let what = if forced { format!("{what}, forced") } else { what };
            Event::done(Action::Rotate, what).in_generation(generation)
        }
        Err(error) => {
            tracing::error!(%error, door, %by, "rotation refused: the old certificates stay");
            Event::refused(Action::Rotate, "TLS files", error)
        }
    };
    history.note(event, caller);
}

/// The start.
pub(crate) fn start(history: &History, mode: Mode, persisted: bool) {
    let whose = if persisted { "state file" } else { "configuration" };
    let what = format!("tlsramp {}, mode {mode} ({whose})", env!("CARGO_PKG_VERSION"));
    history.note(Event::done(Action::Start, what), &Caller::PROGRAM);
}
