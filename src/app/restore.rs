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
            StateFileError::Write(_) => {
                "choose a file in a folder that only the user that tlsramp runs as can write to"
            }
            StateFileError::Read(_) | StateFileError::Malformed(_) => {
                "mend it, or move it away: then the mode is the configuration's, and nobody was seen"
            }
        };
        mistake(error.to_string(), remedy)
    })?;
    if !path.exists() {
        let file = path.display();
        tracing::warn!(%file, mode = %configured, "the state file does not exist: the mode is the configuration's, and no persisted mode, seen clients or \
            earlier changes are known; it is created now");
    }
    let persisted = mode.filter(|persisted| persisted.wins_over(configured).is_some());
    let mode = persisted.as_ref().and_then(|persisted| persisted.wins_over(configured)).unwrap_or(configured);
    if mode != configured {
        servable(mode, settings, &loaded.material).map_err(|refused| {
            mistake(refused.to_string(), "give what is missing, or name another mode in the configuration")
        })?;
        tracing::warn!(%mode, %configured, "the mode is the persisted one, not the configuration's");
    }
    let named = NamedSets::parse(&members).map_err(|error| {
        mistake(format!("its members: {error}"), "mend it, or move it away: then a rollout has to name them again")
    })?;
    let (inventory, history) = (Inventory::from_image(inventory), History::from_image(history));
    Ok(Restored { mode, persisted, inventory, named, history })
}
