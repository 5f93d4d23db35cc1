//! Restores the state file at start: the persisted mode, seen clients, members named by a rollout, and the history.

use crate::config::{Loaded, Mistake};
use crate::control::{History, NamedSets, PersistedMode, SavedState, StateFileError, read_state, servable};
use crate::policy::Mode;
use crate::telemetry::Inventory;

#[derive(Debug)]
pub(super) struct Restored {
    pub(super) mode: Mode,
    pub(super) persisted: Option<PersistedMode>,
    pub(super) inventory: Inventory,
    pub(super) named: NamedSets,
    pub(super) history: History,
}

/// Reads the state file, if there is one. A persisted mode takes precedence over the configured mode, as long as the
/// configuration names the same mode as when the mode was persisted.
///
/// # Errors
/// The file cannot be read, or its mode cannot be served. This is an error because a start in the configured mode might
/// accept more connections.
pub(super) fn restore(loaded: &Loaded) -> Result<Restored, Vec<Mistake>> {
    let settings = &loaded.settings;
    let configured = settings.mode;
    let Some(path) = &settings.admin.state_file else {
        let (inventory, named) = (Inventory::default(), NamedSets::default());
        let history = History::default();
        return Ok(Restored { mode: configured, persisted: None, inventory, named, history });
    };
    let mistake =
        |problem: String, remedy: &str| vec![Mistake::of("--stateFile", &path.display().to_string(), problem, remedy)];
    let SavedState { mode, inventory, members, history } = read_state(path).map_err(|error| {
        let remedy = match error {
            StateFileError::Write(_) => "choose a file in a folder to which only the user that runs tlsramp can write",
            StateFileError::Read(_) | StateFileError::Malformed(_) => {
                "repair the file, or move it away: tlsramp then starts in the configured mode and without known clients"
            }
        };
        mistake(error.to_string(), remedy)
    })?;
    if !path.exists() {
        let file = path.display();
        tracing::warn!(%file, mode = %configured, "the state file does not exist and is created now: there is no \
            persisted mode, no history, and no known client; tlsramp starts in the configured mode");
    }
    let persisted = mode.filter(|persisted| persisted.wins_over(configured).is_some());
    let mode = persisted.as_ref().and_then(|persisted| persisted.wins_over(configured)).unwrap_or(configured);
    if mode != configured {
        servable(mode, settings, &loaded.material)
            .map_err(|refused| mistake(refused.to_string(), "add the missing options, or configure another mode"))?;
        tracing::warn!(%mode, %configured, "starting in the persisted mode; the configured mode applies again once it \
            is changed in the configuration");
    }
    let named = NamedSets::parse(&members).map_err(|error| {
        mistake(
            format!("invalid member list: {error}"),
            "repair the file, or move it away: the next rollout sets the member names again",
        )
    })?;
    let (inventory, history) = (Inventory::from_image(inventory), History::from_image(history));
    Ok(Restored { mode, persisted, inventory, named, history })
}
