//! Stops a proxy gracefully: inbound connections first, then outbound connections.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::start::{App, Drains};
use crate::control::{View, drain_connections, sync_warnings};
use crate::drain::{Drain, DrainEnd};
use crate::limits::{OUTBOUND_FAREWELL, OUTBOUND_FAREWELL_SHARE};
use crate::net::SocketFile;

impl App {
    /// Stops the proxy. First closes the inbound listeners and waits for open inbound connections, while outbound
    /// routes are still served, so that a server that shuts down can still reach the other members. Then closes the
    /// outbound listeners and waits for open outbound connections. Connections are closed at message boundaries. Waits
    /// at most `limit` in total (zero: no limit), or until `force` resolves. Returns true if no connection had to be
    /// cut off.
    pub async fn stop(self, limit: Duration, force: impl Future<Output = ()>) -> bool {
        let App { controller, observer, listeners, admin, takeover, drains: Drains { inbound, outbound }, tasks } =
            self;
        // A new process would wait in its queue for an answer.
        drop(takeover);
        admin.stopping();
        let view = controller.view();
        for warning in sync_warnings(view) {
            tracing::warn!("stopping: {warning}");
        }
        let mut force = pin!(force);
        let began = Instant::now();
        let kept = if listeners.has_outbound() { farewell(limit) } else { Duration::ZERO };
        inbound.start();
        tracing::info!(
            open = observer.open_connections.count(),
            "stopping: no new inbound connections, waiting for open ones"
        );
        // Drops the watches that the listeners hold for later reloads.
        listeners.close_inbound().await;
        let inbound = drained(inbound, view, false, limit - kept, force.as_mut()).await;
        outbound.start();
        tracing::info!(
            open = observer.open_connections.count(),
            "stopping: no new outbound connections, waiting for open ones"
        );
        listeners.close_outbound().await;
        let left = if limit.is_zero() { limit } else { limit.saturating_sub(began.elapsed()).max(LEAST_WAIT) };
        let outbound = match inbound {
            DrainEnd::ByThemselves | DrainEnd::Overdue => drained(outbound, view, true, left, force).await,
            DrainEnd::Forced => drained(outbound, view, true, left, ready(())).await,
        };
        tasks.iter().for_each(AbortHandle::abort);
        controller.save_state().await;
        // The admin port is closed last, because it lists the connections that the stop is waiting for.
        admin.close().await;
        (inbound, outbound) == (DrainEnd::ByThemselves, DrainEnd::ByThemselves)
    }
}

impl App {
    /// Ends the proxy after a new process has replaced it: closes the connections of both directions at the same time,
    /// since the new process serves both. Otherwise as [`App::stop`]; the files of the Unix sockets and the state file are
    /// left to the new process.
    pub(super) async fn stop_replaced(self, limit: Duration, force: impl Future<Output = ()>) -> bool {
        let App { controller, listeners, admin, takeover, drains: Drains { inbound, outbound }, tasks, .. } = self;
        tasks.iter().for_each(AbortHandle::abort);
        admin.leave_files();
        takeover.iter().filter_map(|socket| socket.file.as_deref()).for_each(SocketFile::disown);
        drop(takeover);
        [&inbound, &outbound].into_iter().for_each(Drain::start);
        tokio::join!(listeners.close_inbound(), listeners.close_outbound());
        let (forced, is_forced) = watch::channel(false);
        let force_each = || {
            let mut is_forced = is_forced.clone();
            // The sender outlives both waits.
            async move { drop(is_forced.wait_for(|forced| *forced).await) }
        };
        let view = controller.view();
        let both = async {
            tokio::join!(
                drained(inbound, view, false, limit, force_each()),
                drained(outbound, view, true, limit, force_each()),
                admin.close(),
            )
        };
        let force = async {
            force.await;
            forced.send_replace(true);
            pending::<Infallible>().await
        };
        let (inbound, outbound, ()) = tokio::select! {
            ended = both => ended,
            never = force => match never {},
        };
        (inbound, outbound) == (DrainEnd::ByThemselves, DrainEnd::ByThemselves)
    }
}

/// Waits for the connections of one direction, and closes them at message boundaries meanwhile.
async fn drained(
    drain: Drain,
    view: &View,
    outbound: bool,
    limit: Duration,
    force: impl Future<Output = ()>,
) -> DrainEnd {
    let last = (!limit.is_zero()).then(|| Instant::now() + limit - farewell(limit));
    tokio::select! {
        biased;
        end = drain.wait(limit, force) => end,
        never = drain_connections(view, outbound, last) => match never {},
    }
}

/// The length of the last part of a time limit, which is used twice. In the last part of the wait for one direction,
/// connections are closed at any boundary. The last part of the whole limit of a stop is kept back for outbound
/// connections.
fn farewell(limit: Duration) -> Duration {
    OUTBOUND_FAREWELL.min(limit / OUTBOUND_FAREWELL_SHARE)
}

/// The time limit if no time is left, because a limit of zero means no limit.
const LEAST_WAIT: Duration = Duration::from_millis(1);
