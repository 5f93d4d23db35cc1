//! The desk. A change is judged, everything that can fail is staged, and then one snapshot is committed; on any
//! error all stays as it was.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::ArgMatches;
use tokio::sync::watch;

use crate::config::{self, Loaded, Mistake, Settings};
use crate::policy::{IllegalTransition, Mode, Spelling};
use crate::snapshot::{Tuning, Writer};
use crate::tls::Material;

/// The one place where what is running is changed.
#[derive(Debug)]
pub struct Desk {
    state: Mutex<State>,
    tuning: watch::Sender<Tuning>,
    plant: Box<dyn Plant>,
}

#[derive(Debug)]
struct State {
    writer: Writer,
    loaded: Loaded,
}

/// What the desk needs of the data plane, without knowing it: listeners and slots that follow the settings.
pub trait Plant: std::fmt::Debug + Send + Sync {
    /// Does all that can fail to bring the listeners to these settings, and changes nothing yet.
    ///
    /// # Errors
    /// Every listener that cannot be had.
    fn stage(&self, settings: &Settings) -> Result<Staged, Vec<Mistake>>;
}

/// The rest of a staged change, which cannot fail.
pub type Staged = Box<dyn FnOnce() + Send>;

/// Whether a change that the ladder does not have is to be made all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// One step up only.
    No,
    /// To any mode that can be served.
    Yes,
}

/// A change that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// The mode before.
    pub was: Mode,
    /// The mode in force.
    pub mode: Mode,
    /// The snapshot that has it; every connection judged from now on has this generation or a later one.
    pub generation: u64,
}

/// Why a change was not made. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The ladder does not have the step.
    #[error("{0}")]
    Transition(#[from] IllegalTransition),
    /// The TLS files at hand cannot serve the mode.
    #[error("cannot serve {mode}: {missing}")]
    Unservable {
        /// The mode asked for, or in force.
        mode: Mode,
        /// What it takes.
        missing: &'static str,
    },
    /// The configuration has mistakes.
    #[error("{}", .0.iter().map(|mistake| mistake.to_string().replace("\n ", ";")).collect::<Vec<_>>().join(" | "))]
    Configuration(Vec<Mistake>),
}

impl Desk {
    /// A desk for what was loaded and is running.
    #[must_use]
    pub fn new(writer: Writer, loaded: Loaded, tuning: watch::Sender<Tuning>, plant: Box<dyn Plant>) -> Desk {
        Desk { state: Mutex::new(State { writer, loaded }), tuning, plant }
    }

    /// The mode in force and its generation.
    #[must_use]
    pub fn mode(&self) -> (Mode, u64) {
        let snapshot = self.state().writer.current();
        (snapshot.mode, snapshot.generation)
    }

    /// The settings in force, the mode excepted, which may have been changed since.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.state().loaded.settings.clone()
    }

    /// Changes the mode.
    ///
    /// # Errors
    /// [`Refused`]: a step that the ladder does not have, unless forced; a mode that cannot be served.
    pub fn change_mode(&self, to: Mode, spelling: Spelling, force: Force) -> Result<Changed, Refused> {
        let mut state = self.state();
        let current = state.writer.current();
        let step = current.mode.step_to(to, spelling);
        if force == Force::No {
            step?;
        }
        servable(to, &state.loaded.settings, &current.tls)?;
        let generation = state.writer.commit(to, Arc::clone(&current.tls));
        let changed = Changed { was: current.mode, mode: to, generation };
        announce(changed, step.is_err());
        Ok(changed)
    }

    /// Reads flags and file again, and the TLS files; puts all of it in force, or nothing. A mode that the file did
    /// not change stays as it was set; one that it changed must be a step that the ladder has.
    ///
    /// # Errors
    /// [`Refused`], with every reason that was found.
    pub fn reload(&self, arguments: &ArgMatches) -> Result<Changed, Refused> {
        let mut state = self.state();
        let reload = config::reload(arguments, &state.loaded).map_err(Refused::Configuration)?;
        let current = state.writer.current();
        let mode = reload.mode_changed_to.filter(|to| *to != current.mode);
        if let Some(to) = mode {
            current.mode.step_to(to, reload.loaded.settings.spelling)?;
        }
        let mode = mode.unwrap_or(current.mode);
        servable(mode, &reload.loaded.settings, &reload.loaded.material)?;
        let staged = self.plant.stage(&reload.loaded.settings).map_err(Refused::Configuration)?;

        let generation = state.writer.commit(mode, Arc::clone(&reload.loaded.material));
        self.tuning.send_replace(tuning(&reload.loaded.settings));
        staged();
        for warning in &reload.loaded.warnings {
            tracing::warn!("{warning}");
        }
        state.loaded = reload.loaded;
        let changed = Changed { was: current.mode, mode, generation };
        if changed.was != changed.mode {
            announce(changed, false);
        }
        Ok(changed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of the settings that connections copy at accept.
#[must_use]
pub fn tuning(settings: &Settings) -> Tuning {
    Tuning { timeouts: settings.timeouts, refusal: settings.refusal }
}

fn servable(mode: Mode, settings: &Settings, material: &Material) -> Result<(), Refused> {
    let refuse = |missing| Err(Refused::Unservable { mode, missing });
    if settings.needs_certificate(mode) && !material.can_accept() {
        return refuse("no certificate is loaded; set tlsCertificateKeyFile and reload");
    }
    if settings.links_by_tls(mode) && !material.can_dial() {
        return refuse("nothing to verify servers with; set tlsCAFile and reload");
    }
    Ok(())
}

fn announce(changed: Changed, forced: bool) {
    let Changed { was, mode, generation } = changed;
    if forced {
        tracing::warn!(%was, %mode, generation, forced, "mode changed by force");
    } else {
        tracing::info!(%was, %mode, generation, forced, "mode changed");
    }
}
