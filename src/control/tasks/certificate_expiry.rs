//! Logs warnings about certificates that expire, and verifies the certificates of established clients again.

use std::sync::Arc;

use super::ticks::ticks;
use crate::control::checks::tls_files::expiry_warnings;
use crate::control::view::View;
use crate::limits::{EXPIRY_LOOK, STATE_SAVED_EVERY};

/// Runs until the task is aborted.
pub(super) async fn run(view: Arc<View>) {
    let (mut recheck, mut look) = (ticks(STATE_SAVED_EVERY), ticks(EXPIRY_LOOK));
    // Skips the first tick, which is immediate: the start has logged these warnings.
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
