//! What the control plane does of itself: keeps the state file up to date, looks at certificates that grow old.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::controller::Controller;
use super::status::expiry_warnings;
use crate::limits::{EXPIRY_LOOK, STATE_SAVED_EVERY};

impl Controller {
    /// Does it, without end.
    pub async fn keep_house(self: Arc<Controller>) {
        let (mut save, mut look) = (ticks(STATE_SAVED_EVERY), ticks(EXPIRY_LOOK));
        // What was loaded has just been looked at.
        look.tick().await;
        loop {
            tokio::select! {
                _ = save.tick() => self.save_state().await,
                _ = look.tick() => {
                    let (critical, others) = expiry_warnings(&self.snapshot().tls);
                    critical.iter().for_each(|line| tracing::error!("{line}"));
                    others.iter().for_each(|line| tracing::warn!("{line}"));
                }
            }
            self.recheck_certificates().await;
        }
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
