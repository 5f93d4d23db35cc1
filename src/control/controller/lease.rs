//! Taking the lease, and checking it before a change.

use std::time::{Duration, Instant};

use super::Controller;
use crate::control::audit;
use crate::control::caller::Caller;
use crate::control::change::ChangeError;
use crate::control::lease::LeaseHeld;

impl Controller {
    /// Takes or renews the lease, or gives it back if the time is zero. When this returns a newly taken lease, no
    /// unforced change by another caller is in progress any more.
    ///
    /// # Errors
    /// [`ChangeError::Leased`] if another caller holds the lease and this is not forced; [`ChangeError::Replaced`].
    pub async fn lease(
        &self,
        holder: &str,
        time: Duration,
        force: bool,
        caller: &Caller,
    ) -> Result<Option<LeaseHeld>, ChangeError> {
        self.thawed().await?;
        let (before, outcome) = {
            let mut running = self.running.write();
            let before = running.lease.held_now().map(|held| held.holder);
            let now = Instant::now();
            let outcome = match running.lease.keeps_out(Some(holder), now) {
                Some((held, left)) if !force => Err(leased(held, left)),
                Some(_) | None => {
                    running.lease.take(holder, time, now);
                    Ok(running.lease.held_now())
                }
            };
            (before, outcome)
        };
        audit::lease(self.view.history(), before.as_deref(), (holder, time, force), outcome.as_ref().err(), caller);
        if matches!(outcome, Ok(Some(_))) && before.as_deref() != Some(holder) {
            // A change in progress either finds the lease taken, or has passed its last check of the lease. In the
            // second case, it is committed once this lock is free.
            drop(self.changing.lock().await);
        }
        outcome
    }

    /// Refuses a change by `holder` while another caller holds the lease.
    pub(super) fn check_lease(&self, holder: Option<&str>) -> Result<(), ChangeError> {
        let running = self.running.write();
        match running.lease.keeps_out(holder, Instant::now()) {
            None => Ok(()),
            Some((holder, left)) => Err(leased(holder, left)),
        }
    }
}

fn leased(holder: &str, left: Duration) -> ChangeError {
    ChangeError::Leased { holder: holder.to_owned(), seconds: left.as_secs().max(1) }
}
