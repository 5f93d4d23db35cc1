//! Signal handling.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The handlers of all signals. Must be created before the work that a signal is to interrupt, so that no signal is
/// lost.
#[derive(Debug)]
pub struct Signals {
    pub(super) hangup: Signal,
    pub(super) terminate: Signal,
    pub(super) interrupt: Signal,
    /// SIGUSR1. Scripts that rotate mongod's log send it. Without a handler, it would end the process.
    pub(super) rotate_log: Signal,
    /// SIGUSR2, which starts a new process that replaces this one.
    pub(super) start_next: Signal,
}

impl Signals {
    /// Installs the handlers; the signals no longer end the process by default.
    ///
    /// # Errors
    /// A handler cannot be installed.
    pub fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            rotate_log: signal(SignalKind::user_defined1())?,
            start_next: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for SIGINT, SIGTERM or SIGHUP and returns the signal's number.
    pub async fn any(&mut self) -> u8 {
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.hangup.recv() => SignalKind::hangup(),
        };
        u8::try_from(kind.as_raw_value()).unwrap_or_default()
    }
}
