//! The audit log: each request to change something is logged and added to the history, with caller and outcome.

use std::time::Duration;

use super::caller::Caller;
use super::change::{AcceptedClient, Change, ChangeError, Changed, MemberSets, Rotated};
use super::history::{Action, Event, History};
use super::member_names;
use crate::policy::Mode;
use crate::telemetry::AcceptError;
use crate::text::printable;

/// Logs a change of mode that was made or refused.
pub(super) fn change(history: &History, change: &Change, outcome: &Result<Changed, ChangeError>, caller: &Caller) {
    let (door, by, forced, persist) = (caller.interface.name(), &caller.who, change.force, change.persist);
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

/// Logs a reload that was made or refused. If the reload changes the mode, that change is logged on a line of its own.
pub(super) fn reload(history: &History, outcome: &Result<Changed, ChangeError>, forced: bool, caller: &Caller) {
    let (door, by) = (caller.interface.name(), &caller.who);
    let event = match outcome {
        Ok(Changed { was, mode, generation, .. }) => {
            if was != mode {
                tracing::info!(%was, %mode, generation, door, %by, forced = false, persist = false, "mode changed");
            }
            tracing::info!(%mode, generation, door, %by, forced, "reloaded");
            let what = if was == mode { format!("mode remains {mode}") } else { format!("mode {was} -> {mode}") };
            let what = if forced { format!("{what}, forced") } else { what };
            Event::done(Action::Reload, what).in_generation(*generation)
        }
        Err(error) => {
            tracing::error!(%error, door, %by, "reload refused: the configuration in force stays");
            Event::refused(Action::Reload, "configuration", error)
        }
    };
    history.note(event, caller);
}

/// Logs that TLS files were read again or refused.
pub(super) fn rotation(history: &History, outcome: &Result<Rotated, ChangeError>, forced: bool, caller: &Caller) {
    let (door, by) = (caller.interface.name(), &caller.who);
    let event = match outcome {
        Ok(Rotated { generation, material, .. }) => {
            tracing::info!(generation, door, %by, forced, "certificates rotated");
            let shown = material.serving.as_ref().or(material.outgoing.as_ref());
            let what = shown.map_or_else(
                || "no certificate loaded".to_owned(),
                |identity| format!("{}, serial {}", identity.subject, identity.serial),
            );
            let what = if forced { format!("{what}, forced") } else { what };
            Event::done(Action::Rotate, what).in_generation(*generation)
        }
        Err(error) => {
            tracing::error!(%error, door, %by, "rotation refused: the certificates in force stay");
            Event::refused(Action::Rotate, "TLS files", error)
        }
    };
    history.note(event, caller);
}

/// Records that `holder` acquired or released the lease, or was refused; `before` is the holder until then. Renewals,
/// which come every few seconds in a rollout, are only logged, and so is the release of a lease that is not held.
pub(super) fn lease(
    history: &History,
    before: Option<&str>,
    (holder, time, forced): (&str, Duration, bool),
    refused: Option<&ChangeError>,
    caller: &Caller,
) {
    let (door, by) = (caller.interface.name(), &caller.who);
    if refused.is_some() {
        let reason = format!("{} holds the lease", before.unwrap_or_default());
        tracing::warn!(holder = %printable(holder), error = %printable(&reason), door, %by, "lease refused");
        return history.note(Event::refused(Action::Lease, format!("for {holder}"), &reason), caller);
    }
    let (seconds, shown) = (time.as_secs(), printable(holder));
    if time.is_zero() {
        tracing::info!(holder = shown, forced, door, %by, "lease released");
    } else {
        tracing::info!(holder = shown, seconds, forced, door, %by, "lease acquired");
    }
    let what = match (before, time.is_zero()) {
        (None, true) => return,
        (Some(held), true) => format!("of {held} released by {holder}"),
        (Some(held), false) if held == holder => return,
        (Some(held), false) => format!("of {held} taken over by {holder}"),
        (None, false) => format!("acquired by {holder}"),
    };
    let what = if forced { format!("{what}, forced") } else { what };
    history.note(Event::done(Action::Lease, what), caller);
}

/// Records that a client was accepted, is no longer accepted, or that the request was refused.
pub(super) fn accepted(
    history: &History,
    key: &str,
    accepted: bool,
    outcome: &Result<AcceptedClient, AcceptError>,
    caller: &Caller,
) {
    let what = if accepted { key.to_owned() } else { format!("{key}, acceptance withdrawn") };
    let (door, by) = (caller.interface.name(), &caller.who);
    let event = match outcome {
        Ok(AcceptedClient { key, known, .. }) => {
            tracing::info!(client = key, accepted, known, door, %by, "client acceptance changed");
            Event::done(Action::Accept, what)
        }
        Err(error) => {
            tracing::warn!(client = %printable(key), accepted, %error, door, %by, "client acceptance refused");
            Event::refused(Action::Accept, what, error)
        }
    };
    history.note(event, caller);
}

/// Logs that the members of some replica sets were set, or that the request was refused.
pub(super) fn members(
    history: &History,
    names: &MemberSets,
    outcome: &Result<Vec<String>, ChangeError>,
    caller: &Caller,
) {
    let (door, by, forced) = (caller.interface.name(), &caller.who, names.force);
    let sets = member_names::shown(&names.sets);
    let event = match outcome {
        Ok(_) => {
            tracing::info!(sets, door, %by, forced, "member names set");
            Event::done(Action::Members, &*sets)
        }
        Err(error) => {
            tracing::warn!(sets, %error, door, %by, forced, "member names refused");
            Event::refused(Action::Members, &*sets, error)
        }
    };
    history.note(event, caller);
}

pub(super) fn quit(history: &History, caller: &Caller) {
    let (door, by) = (caller.interface.name(), &caller.who);
    tracing::info!(door, %by, "stop requested");
    history.note(Event::done(Action::Quit, "stop requested"), caller);
}

pub(super) fn start(history: &History, mode: Mode, persisted: bool, kept: bool) {
    let whose = match (kept, persisted) {
        (true, _) => "of the replaced process",
        (false, true) => "state file",
        (false, false) => "configuration",
    };
    let what = format!("tlsramp {}, mode {mode} ({whose})", env!("CARGO_PKG_VERSION"));
    history.note(Event::done(Action::Start, what), &Caller::PROGRAM);
}
