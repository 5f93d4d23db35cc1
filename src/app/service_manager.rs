//! Notifies the service manager (`NOTIFY_SOCKET`, sd_notify(3)): ready, reloading, stopping, a status line and the
//! watchdog. The watchdog is notified only while the workers of the data plane respond.
//!
//! Each notification has a time limit, so that a service manager that does not read cannot block the proxy.

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

/// The connection to the service manager. Without a service manager, every method does nothing.
#[derive(Debug, Default)]
pub(super) struct ServiceManager {
    socket: Option<(UnixDatagram, PathBuf)>,
    stopping: AtomicBool,
    /// Whether the last reload was refused; shown in the status line.
    refused: AtomicBool,
    /// Whether another process notifies the service manager.
    replaced: AtomicBool,
}

/// The parts of the proxy that the status line and the watchdog read.
#[derive(Debug, Clone)]
pub(super) struct ProxyStatus {
    pub(super) controller: Arc<Controller>,
    pub(super) observer: Arc<Observer>,
    pub(super) worker_health: WorkerHealth,
}

impl ServiceManager {
    /// Connects to the service manager that started this process. Must be called within a runtime.
    pub(super) fn of_this_process() -> ServiceManager {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return ServiceManager::default() };
        match UnixDatagram::unbound() {
            Ok(socket) => ServiceManager { socket: Some((socket, path.into())), ..ServiceManager::default() },
            Err(error) => {
                tracing::warn!(%error, "cannot create the socket for notifications to the service manager \
                    (NOTIFY_SOCKET); it does not learn that tlsramp is ready");
                ServiceManager::default()
            }
        }
    }

    /// Reports that every listener is open.
    pub(super) async fn ready(&self, proxy: &ProxyStatus) {
        self.notify(&[NotifyState::Ready, NotifyState::Status(&self.status(proxy))]).await;
    }

    /// Reports that a reload has begun. `READY` follows whether the reload succeeds or not. systemd 253 and later
    /// require the time at which the reload began.
    pub(super) async fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.notify(&[NotifyState::Reloading, now]).await,
            Err(error) => tracing::warn!(%error, "cannot read the monotonic clock; the reload is not reported to the \
                service manager"),
        }
    }

    /// Reports that the reload has ended.
    pub(super) async fn reloaded(&self, done: bool, proxy: &ProxyStatus) {
        self.refused.store(!done, Ordering::Relaxed);
        self.ready(proxy).await;
    }

    /// Names the process that replaces this one. From now on that process notifies the service manager.
    pub(super) async fn replaced_by(&self, pid: i32) {
        self.notify(&[NotifyState::MainPid(pid.unsigned_abs())]).await;
        self.replaced.store(true, Ordering::Relaxed);
    }

    /// Reports that this process is not replaced after all.
    pub(super) async fn kept(&self, proxy: &ProxyStatus) {
        if self.replaced.swap(false, Ordering::Relaxed) {
            self.notify(&[NotifyState::MainPid(std::process::id())]).await;
        }
        self.ready(proxy).await;
    }

    /// Reports that a stop has begun.
    pub(super) async fn stopping(&self, proxy: &ProxyStatus) {
        self.stopping.store(true, Ordering::Relaxed);
        self.notify(&[NotifyState::Stopping, NotifyState::Status(&self.status(proxy))]).await;
    }

    /// Sends status and watchdog notifications.
    pub(super) async fn keep_notified(&self, proxy: &ProxyStatus) -> Infallible {
        if self.socket.is_none() {
            return pending().await;
        }
        tokio::select! {
            never = self.keep_status(proxy) => never,
            never = self.keep_watchdog(&proxy.worker_health) => never,
        }
    }

    async fn keep_status(&self, proxy: &ProxyStatus) -> Infallible {
        let mut ticks = ticks(MANAGER_STATUS_EVERY);
        let mut last = String::new();
        loop {
            ticks.tick().await;
            let now = self.status(proxy);
            if now != last {
                self.notify(&[NotifyState::Status(&now)]).await;
                last = now;
            }
        }
    }

    /// Notifies the watchdog twice per period, each time after every worker has responded. If a worker hangs for a
    /// whole period, the service manager restarts the proxy.
    async fn keep_watchdog(&self, worker_health: &WorkerHealth) -> Infallible {
        let Some(time) = sd_notify::watchdog_enabled().filter(|time| !time.is_zero()) else { return pending().await };
        let mut ticks = ticks(time / 2);
        loop {
            ticks.tick().await;
            let mut response = std::pin::pin!(worker_health.all_respond());
            if timeout(time / 4, &mut response).await.is_err() {
                tracing::error!(
                    "a worker does not respond; the service manager's watchdog is not notified, and restarts tlsramp \
                     if this lasts"
                );
                response.await;
            }
            self.notify(&[NotifyState::Watchdog]).await;
        }
    }

    fn status(&self, proxy: &ProxyStatus) -> String {
        let spelling = proxy.controller.view().settings().spelling;
        let (mode, _) = proxy.controller.view().mode();
        let stopping = self.stopping.load(Ordering::Relaxed);
        status(
            mode.name(spelling),
            proxy.observer.open_connections.count(),
            stopping,
            self.refused.load(Ordering::Relaxed),
        )
    }

    async fn notify(&self, states: &[NotifyState<'_>]) {
        let Some((socket, path)) = self.socket.as_ref().filter(|_| !self.replaced.load(Ordering::Relaxed)) else {
            return;
        };
        let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
        match timeout(MANAGER_WAIT, socket.send_to(lines.as_bytes(), path)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, path = %path.display(), "cannot notify the service manager"),
            Err(_) => {
                tracing::warn!(path = %path.display(), "the service manager did not read a notification in time; it \
                was dropped")
            }
        }
    }
}

fn status(mode: &str, open: usize, stopping: bool, refused: bool) -> String {
    let noun = if open == 1 { "connection" } else { "connections" };
    let stopping = if stopping { "stopping, " } else { "" };
    let refused = if refused { "; the last reload by SIGHUP was refused, see the log" } else { "" };
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
    fn the_status_line() {
        assert_eq!(status("requireSSL", 1, false, false), "requireSSL, 1 connection open");
        assert_eq!(status("allowTLS", 0, true, false), "stopping, allowTLS, 0 connections open");
        let refused = "allowTLS, 2 connections open; the last reload by SIGHUP was refused, see the log";
        assert_eq!(status("allowTLS", 2, false, true), refused);
    }
}
