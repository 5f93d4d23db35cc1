//! Logs warnings about certificates that expire, and verifies those of established clients again.

use std::sync::Arc;

use super::ticks::ticks;
use crate::control::checks::tls_files::expiry_warnings;
use crate::control::view::View;
use crate::limits::{EXPIRY_LOOK, STATE_SAVED_EVERY};

/// Runs until it is aborted.
pub(super) async fn run(view: Arc<View>) {
    let (mut recheck, mut look) = (ticks(STATE_SAVED_EVERY), ticks(EXPIRY_LOOK));
    // The first tick is at once, and the start has just logged these warnings.
    look.tick().await;
    loop {
        tokio::select! {
            _ = recheck.tick() => {}
            _ = look.tick() => {
                let (critical, others) = expiry_warnings(&view.snapshot().tls);
                critical.iter().for_each(|line| tracing::error!("{line}"));
                others.iter().for_each(|line| tracing::warn!("{line}"));
            }
        }
        view.recheck_certificates().await;
    }
}
