//! What the state file brings to a start: a mode that was persisted, who was seen, members that a rollout has named.

use crate::config::{Loaded, Mistake};
use crate::control::{History, NamedSets, PersistedMode, SavedState, StateFileError, read_state, servable};
use crate::policy::Mode;
use crate::telemetry::Inventory;

/// What a start begins with.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) mode: Mode,
    pub(super) persisted: Option<PersistedMode>,
    pub(super) inventory: Inventory,
    pub(super) named: NamedSets,
    pub(super) history: History,
}

/// Reads the state file, if there is one. A mode that was persisted wins over the configuration's, until that names
/// another than it did.
///
/// # Errors
/// A file that cannot be read, or a mode in it that cannot be served: starting without might mean to require less.
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
        tracing::warn!(%file, mode = %configured, "the state file is not there: the mode is the configuration's, and nothing \
            is known of a persisted mode, of clients seen before, or of earlier changes; it is made now");
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
