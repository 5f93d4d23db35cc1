//! The signals that a running program answers. Made before anything else, so that none is lost.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Every signal that is listened for.
#[derive(Debug)]
pub struct Signals {
    pub(super) hangup: Signal,
    pub(super) terminate: Signal,
    pub(super) interrupt: Signal,
    pub(super) user: [(&'static str, Signal); 2],
}

impl Signals {
    /// Listens from now on; the process no longer ends by them of itself.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user: [
                ("SIGUSR1", signal(SignalKind::user_defined1())?),
                ("SIGUSR2", signal(SignalKind::user_defined2())?),
            ],
        })
    }

    /// Waits for one that asks for a stop.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for SIGUSR1 or SIGUSR2 and returns its name. Log rotation scripts written for mongod send SIGUSR1, whose
    /// default action would end the process.
    pub(super) async fn user(user: &mut [(&'static str, Signal); 2]) -> &'static str {
        let [first, second] = user;
        tokio::select! {
            _ = first.1.recv() => first.0,
            _ = second.1.recv() => second.0,
        }
    }

    /// Waits for any, where there is nothing to reload; its number.
    pub async fn any(&mut self) -> u8 {
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.hangup.recv() => SignalKind::hangup(),
        };
        u8::try_from(kind.as_raw_value()).unwrap_or_default()
    }
}
