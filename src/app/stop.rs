//! Stops a proxy gracefully: inbound connections first, then outbound connections.

use std::future::ready;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::start::{App, Drains};
use crate::control::sync_warnings;
use crate::drain::DrainEnd;
use crate::limits::{OUTBOUND_FAREWELL, OUTBOUND_FAREWELL_SHARE};

impl App {
    /// Stops the proxy. First closes the inbound listeners and waits for open inbound connections, while outbound
    /// routes are still served, so that a server that shuts down can still reach the other members. Then closes the
    /// outbound listeners and waits for open outbound connections. Waits at most `limit` in total (zero: no limit), or
    /// until `force` resolves. Returns true if every connection ended by itself.
    pub async fn stop(self, limit: Duration, force: impl Future<Output = ()>) -> bool {
        let App { controller, observer, listeners, admin, drains: Drains { inbound, outbound }, tasks } = self;
        admin.stopping();
        for warning in sync_warnings(controller.view()) {
            tracing::warn!("stopping: {warning}");
        }
        let mut force = pin!(force);
        let began = Instant::now();
        let kept = if listeners.has_outbound() { kept_for_outbound(limit) } else { Duration::ZERO };
        inbound.start();
        tracing::info!(
            open = observer.open_connections.count(),
            "stopping: no new inbound connections, waiting for open ones"
        );
        // Drops the watches that the listeners hold for later reloads.
        listeners.close_inbound();
        let inbound = inbound.wait(limit - kept, force.as_mut()).await;
        outbound.start();
        tracing::info!(
            open = observer.open_connections.count(),
            "stopping: no new outbound connections, waiting for open ones"
        );
        listeners.close_outbound();
        let left = if limit.is_zero() { limit } else { limit.saturating_sub(began.elapsed()).max(LEAST_WAIT) };
        let outbound = match inbound {
            DrainEnd::ByThemselves | DrainEnd::Overdue => outbound.wait(left, force).await,
            DrainEnd::Forced => outbound.wait(left, ready(())).await,
        };
        tasks.iter().for_each(AbortHandle::abort);
        controller.save_state().await;
        // The admin port is closed last, because it lists the connections that the stop is waiting for.
        admin.close().await;
        (inbound, outbound) == (DrainEnd::ByThemselves, DrainEnd::ByThemselves)
    }
}

/// Returns the part of the time limit that is reserved for outbound connections.
fn kept_for_outbound(limit: Duration) -> Duration {
    OUTBOUND_FAREWELL.min(limit / OUTBOUND_FAREWELL_SHARE)
}

/// The time limit if no time is left, because a limit of zero means no limit.
const LEAST_WAIT: Duration = Duration::from_millis(1);
