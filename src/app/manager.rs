//! What the service manager is told, where there is one that asks (`NOTIFY_SOCKET`, sd_notify(3)): ready, reloading,
//! stopping; a line on how it stands; and a sign of life, which is the data plane's and not only this thread's.
//!
//! A manager that does not read is given up on: nothing here holds up the proxy.

use std::convert::Infallible;
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::UnixDatagram;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::control::Controller;
use crate::limits::{MANAGER_STATUS_EVERY, MANAGER_WAIT};
use crate::proxy::WorkerHealth;
use crate::telemetry::Observer;

/// The service manager, or nobody.
#[derive(Debug, Default)]
pub(super) struct Manager {
    socket: Option<(UnixDatagram, PathBuf)>,
    stopping: AtomicBool,
    /// Whether the last reload was refused: a manager has no other way to hear of it.
    refused: AtomicBool,
}

/// What is shown of a proxy, until it has ended.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) controller: Arc<Controller>,
    pub(super) observer: Arc<Observer>,
    pub(super) worker_health: WorkerHealth,
}

impl Manager {
    /// The one that this process was started by. To be called on a runtime.
    pub(super) fn of_this_process() -> Manager {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Manager::default() };
        match UnixDatagram::unbound() {
            Ok(socket) => Manager { socket: Some((socket, path.into())), ..Manager::default() },
            Err(error) => {
                tracing::warn!(%error, "no socket to tell the service manager by");
                Manager::default()
            }
        }
    }

    /// Every listener is open.
    pub(super) async fn ready(&self, shown: &Shown) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(&self.status(shown))]).await;
    }

    /// A reload has begun: `READY` follows, whatever comes of it. systemd from 253 on wants to know when it began.
    pub(super) async fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]).await,
            Err(error) => tracing::warn!(%error, "no monotonic clock to tell the service manager"),
        }
    }

    /// It is over.
    pub(super) async fn reloaded(&self, done: bool, shown: &Shown) {
        self.refused.store(!done, Ordering::Relaxed);
        self.ready(shown).await;
    }

    /// A stop has begun.
    pub(super) async fn stopping(&self, shown: &Shown) {
        self.stopping.store(true, Ordering::Relaxed);
        self.tell(&[NotifyState::Stopping, NotifyState::Status(&self.status(shown))]).await;
    }

    /// Keeps it told, without end.
    pub(super) async fn keep_told(&self, shown: &Shown) -> Infallible {
        if self.socket.is_none() {
            return pending().await;
        }
        tokio::select! {
            never = self.keep_status(shown) => never,
            never = self.keep_watchdog(&shown.worker_health) => never,
        }
    }

    async fn keep_status(&self, shown: &Shown) -> Infallible {
        let mut ticks = ticks(MANAGER_STATUS_EVERY);
        let mut last = String::new();
        loop {
            ticks.tick().await;
            let now = self.status(shown);
            if now != last {
                self.tell(&[NotifyState::Status(&now)]).await;
                last = now;
            }
        }
    }

    /// Twice in the time that the manager waits, and only once the workers have answered: one that hangs for that long is
    /// a reason to be started anew.
    async fn keep_watchdog(&self, worker_health: &WorkerHealth) -> Infallible {
        let Some(time) = sd_notify::watchdog_enabled().filter(|time| !time.is_zero()) else { return pending().await };
        let mut ticks = ticks(time / 2);
        loop {
            ticks.tick().await;
            let mut beat = std::pin::pin!(worker_health.all_respond());
            if timeout(time / 4, &mut beat).await.is_err() {
                tracing::error!(
                    "a worker does not answer; the service manager's watchdog is not told that all is well"
                );
                beat.await;
            }
            self.tell(&[NotifyState::Watchdog]).await;
        }
    }

    fn status(&self, shown: &Shown) -> String {
        let spelling = shown.controller.view().settings().spelling;
        let (mode, _) = shown.controller.view().mode();
        let stopping = self.stopping.load(Ordering::Relaxed);
        status(
            mode.name(spelling),
            shown.observer.open_connections.count(),
            stopping,
            self.refused.load(Ordering::Relaxed),
        )
    }

    async fn tell(&self, states: &[NotifyState<'_>]) {
        let Some((socket, path)) = &self.socket else { return };
        let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
        match timeout(MANAGER_WAIT, socket.send_to(lines.as_bytes(), path)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, path = %path.display(), "cannot tell the service manager"),
            Err(_) => tracing::warn!(path = %path.display(), "the service manager does not read what it is told"),
        }
    }
}

fn status(mode: &str, open: usize, stopping: bool, refused: bool) -> String {
    let noun = if open == 1 { "connection" } else { "connections" };
    let stopping = if stopping { "stopping, " } else { "" };
    let refused = if refused { "; the last reload by SIGHUP was refused, the log says why" } else { "" };
    format!("{stopping}{mode}, {open} {noun} open{refused}")
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn how_it_stands_in_one_line() {
        assert_eq!(status("requireSSL", 1, false, false), "requireSSL, 1 connection open");
        assert_eq!(status("allowTLS", 0, true, false), "stopping, allowTLS, 0 connections open");
        let refused = "allowTLS, 2 connections open; the last reload by SIGHUP was refused, the log says why";
        assert_eq!(status("allowTLS", 2, false, true), refused);
    }
}
