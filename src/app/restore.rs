//! Restores the state at start, from the state file or from the process that is replaced: the mode, seen clients,
//! members named by a rollout, and the history.

use std::time::SystemTime;

use crate::config::{Loaded, Mistake};
use crate::control::{
    Carried, Handover, History, ModeChange, NamedSets, PersistedMode, SavedState, StateFileError, read_state, servable,
};
use crate::policy::Mode;
use crate::telemetry::Inventory;

#[derive(Debug)]
pub(super) struct Restored {
    pub(super) mode: Mode,
    pub(super) persisted: Option<PersistedMode>,
    pub(super) inventory: Inventory,
    pub(super) named: NamedSets,
    pub(super) history: History,
    pub(super) generation: u64,
    /// What a process leaves to the one that replaces it, besides the state file's contents.
    pub(super) carried: Option<Carried>,
}

/// Reads the state file, if there is one. A persisted mode takes precedence over the configured mode, as long as the
/// configuration names the same mode as when the mode was persisted.
///
/// # Errors
/// The file cannot be read, its content is invalid, or its mode cannot be served. tlsramp does not start then, because
/// the configured mode might accept more connections.
pub(super) fn restore(loaded: &Loaded) -> Result<Restored, Vec<Mistake>> {
    let settings = &loaded.settings;
    let configured = settings.mode;
    let Some(path) = &settings.admin.state_file else {
        let (inventory, named) = (Inventory::default(), NamedSets::default());
        let (history, generation, carried) = (History::default(), FIRST_GENERATION, None);
        return Ok(Restored { mode: configured, persisted: None, inventory, named, history, generation, carried });
    };
    let mistake =
        |problem: String, remedy: &str| vec![Mistake::of("--stateFile", &path.display().to_string(), problem, remedy)];
    let saved = read_state(path).map_err(|error| {
        let remedy = match error {
            StateFileError::Write(_) => "choose a file in a folder to which only the user that runs tlsramp can write",
            StateFileError::Read(_) | StateFileError::Malformed(_) => {
                "repair the file, or move it away: tlsramp then starts in the configured mode and without known clients"
            }
        };
        mistake(error.to_string(), remedy)
    })?;
    let persisted = saved.mode.clone().filter(|persisted| persisted.wins_over(configured).is_some());
    let mode = persisted.as_ref().and_then(|persisted| persisted.wins_over(configured)).unwrap_or(configured);
    if mode != configured {
        servable(mode, settings, &loaded.material)
            .map_err(|refused| mistake(refused.to_string(), "add the missing options, or configure another mode"))?;
    }
    restored(saved, mode, persisted).map_err(|error| {
        mistake(
            format!("invalid member list: {error}"),
            "repair the file, or move it away: the next rollout sets the member names again",
        )
    })
}

/// Logs where the state comes from. Not for a takeover, whose state is that of the process that is replaced.
pub(super) fn log_source(restored: &Restored, loaded: &Loaded) {
    let (mode, configured) = (restored.mode, loaded.settings.mode);
    if let Some(file) = loaded.settings.admin.state_file.as_ref().filter(|file| !file.exists()) {
        let file = file.display();
        tracing::warn!(%file, mode = %configured, "the state file does not exist and is created now: there is no \
            persisted mode, no history, and no known client; tlsramp starts in the configured mode");
    }
    if mode != configured {
        tracing::warn!(%mode, %configured, "starting in the persisted mode; the configured mode applies again once it \
            is changed in the configuration");
    }
}

/// Takes the state of the process that is replaced. Its mode stays in force, unless this process is configured with
/// another mode than the replaced process was.
///
/// # Errors
/// The mode cannot be served, the state is invalid, or the replaced process has read a newer configuration.
pub(super) fn take_over(handover: Handover, loaded: &Loaded) -> Result<Restored, Vec<Mistake>> {
    let Handover { mode: running, generation, read_at, mode_change, lease, saved } = handover;
    // A time in the future is of a clock that was set back.
    if read_at.is_some_and(|read_at| read_at > loaded.read_at && read_at <= SystemTime::now()) {
        let problem = "the running tlsramp has reloaded its configuration since this process has read it";
        return Err(vec![Mistake {
            passing: true,
            ..Mistake::of("--takeover", "", problem, "start this process again")
        }]);
    }
    let mistake = |problem: String| {
        let remedy = "correct the configuration, or stop the running tlsramp and start this one";
        vec![Mistake::of("--takeover", "", problem, remedy)]
    };
    let configured = loaded.settings.mode;
    let kept = running.wins_over(configured);
    let mode = kept.unwrap_or(configured);
    servable(mode, &loaded.settings, &loaded.material)
        .map_err(|refused| mistake(format!("the mode of the running tlsramp: {refused}")))?;
    if kept.is_none() {
        let was = running.mode().map(tracing::field::display);
        tracing::warn!(was, %mode, "the configuration names another mode than that of the replaced process; the \
            configured mode is used");
    }
    let persisted = saved.mode.clone().filter(|persisted| persisted.wins_over(configured).is_some());
    let restored =
        restored(saved, mode, persisted).map_err(|error| mistake(format!("invalid member list: {error}")))?;
    let changed_now = || ModeChange { since: SystemTime::now(), by: None };
    let mode_change = if kept.is_some() { mode_change } else { changed_now() };
    // The certificates are read again, so this is a new snapshot.
    Ok(Restored {
        generation: generation.saturating_add(1),
        carried: Some(Carried { mode_change, lease, mode_kept: kept.is_some() }),
        ..restored
    })
}

fn restored(saved: SavedState, mode: Mode, persisted: Option<PersistedMode>) -> Result<Restored, String> {
    let SavedState { mode: _, inventory, members, history } = saved;
    let named = NamedSets::parse(&members)?;
    let (inventory, history) = (Inventory::from_image(inventory), History::from_image(history));
    Ok(Restored { mode, persisted, inventory, named, history, generation: FIRST_GENERATION, carried: None })
}

const FIRST_GENERATION: u64 = 1;
