//! Reloads: every step that can fail comes before the commit of the new snapshot.

use std::sync::Arc;

use clap::ArgMatches;

use super::{Controller, carry_out, check_blockers, tuning};
use crate::config;
use crate::control::audit;
use crate::control::blocking::blocking;
use crate::control::caller::Caller;
use crate::control::change::{Change, ChangeError, Changed};
use crate::control::checks::readiness::blockers_by;
use crate::control::checks::tls_files::{outdated, servable};
use crate::state::{Snapshot, SnapshotWriter};

impl Controller {
    /// Reads flags, file and TLS files again, and puts either all of them in force, or nothing. If the configured mode
    /// has not changed, the mode in force stays; if it has, the change is checked as an unforced step.
    ///
    /// # Errors
    /// [`ChangeError`]: the first check that fails, with all its reasons.
    pub async fn reload(self: &Arc<Self>, caller: &Caller) -> Result<Changed, ChangeError> {
        self.reload_by(self.view.arguments().clone(), false, caller).await
    }

    /// Reloads as [`Controller::reload`] does, and accepts TLS files that are out of date too.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub async fn reload_forced(self: &Arc<Self>, caller: &Caller) -> Result<Changed, ChangeError> {
        self.reload_by(self.view.arguments().clone(), true, caller).await
    }

    /// Reloads with another command line than the one at start.
    ///
    /// # Errors
    /// [`ChangeError`]
    pub async fn reload_with(self: &Arc<Self>, arguments: ArgMatches, caller: &Caller) -> Result<Changed, ChangeError> {
        self.reload_by(arguments, false, caller).await
    }

    async fn reload_by(
        self: &Arc<Self>,
        arguments: ArgMatches,
        force: bool,
        caller: &Caller,
    ) -> Result<Changed, ChangeError> {
        let (this, caller) = (Arc::clone(self), caller.clone());
        carry_out(async move {
            this.thawed().await?;
            let mut writer = this.changing.lock().await;
            let outcome = this.read_again(&mut writer, arguments, force, &caller).await;
            audit::reload(this.view.history(), &outcome, force, &caller);
            this.view.refusals().reloaded(&outcome, &caller);
            outcome
        })
        .await
    }

    async fn read_again(
        &self,
        writer: &mut SnapshotWriter,
        arguments: ArgMatches,
        force: bool,
        caller: &Caller,
    ) -> Result<Changed, ChangeError> {
        let previous = self.view.loaded();
        let reload =
            blocking(move || config::reload(&arguments, &previous)).await?.map_err(ChangeError::Configuration)?;
        let snapshot = writer.current();
        let was = snapshot.mode;
        let outdated = outdated(&snapshot.tls, &reload.loaded.material, force)?;
        let routes = self.view.routes().updated(&reload.loaded.settings).map_err(ChangeError::Configuration)?;
        let routes = Arc::new(routes);
        let changed_to = reload.mode_changed_to.filter(|to| *to != was);
        let mut warnings = Vec::new();
        if let Some(to) = changed_to {
            self.check_lease(None)?;
            let spelling = reload.loaded.settings.spelling;
            was.step_to(to, spelling)?;
            // The change is checked against the links and certificates of the new configuration, not against those in
            // force.
            let tls = Arc::clone(&reload.loaded.material);
            let coming = Arc::new(Snapshot::new(was, snapshot.generation, tls));
            let look = blockers_by(&self.view, to, (&reload.loaded.settings, &routes), coming);
            warnings = check_blockers(&Change::to(to, spelling), look).await?;
        }
        warnings.extend(outdated);
        let mode = changed_to.unwrap_or(was);
        servable(mode, &reload.loaded.settings, &reload.loaded.material)?;
        let (listeners, settings) = (Arc::clone(self.view.listeners()), reload.loaded.settings.clone());
        let staging = Arc::clone(&routes);
        let staged =
            blocking(move || listeners.stage(&settings, &staging)).await?.map_err(ChangeError::Configuration)?;
        if changed_to.is_some() {
            self.check_lease(None)?;
        }

        let generation = writer.commit(mode, Arc::clone(&reload.loaded.material));
        self.tuning.send_replace(tuning(&reload.loaded.settings));
        staged();
        if let Some(log) = self.view.log() {
            log.set_level(reload.loaded.settings.log.level);
        }
        reload.loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        self.view.prober().follow(&reload.loaded.settings, &routes, &self.view.members());
        self.view.observer().inventory.set_window(reload.loaded.settings.admin.guard_window);
        self.view.prober().policy_changed();
        let mut running = self.running.write();
        if reload.mode_changed_to.is_some() {
            running.persisted = None;
        }
        if mode != was {
            running.mode_changed(caller);
        }
        (running.loaded, running.routes) = (Arc::new(reload.loaded), routes);
        self.reloaded.notify_one();
        Ok(Changed { was, mode, generation, persisted: false, warnings })
    }
}
