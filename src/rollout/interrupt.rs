//! SIGINT and SIGTERM: the request in progress is finished, no further step is taken, and the leases are given back.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::halt::Halt;
use crate::app::Signals;

/// Whether a signal was received.
#[derive(Debug)]
pub(super) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Starts listening for the signals. Must be called on the runtime.
    ///
    /// # Errors
    /// The signal handlers cannot be installed.
    pub(super) fn listen() -> std::io::Result<Interrupt> {
        let mut signals = Signals::new()?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            // A second signal has no effect: every request and the remaining work are bounded.
            loop {
                signals.stop().await;
                sender.send_replace(true);
            }
        });
        Ok(Interrupt(receiver))
    }

    /// # Errors
    /// [`Halt::Interrupted`]
    pub(super) fn check(&self) -> Result<(), Halt> {
        if *self.0.borrow() { Err(Halt::Interrupted) } else { Ok(()) }
    }

    /// # Errors
    /// [`Halt::Interrupted`], as soon as a signal comes.
    pub(super) async fn pause(&self, time: Duration) -> Result<(), Halt> {
        let mut receiver = self.0.clone();
        tokio::select! {
            () = sleep(time) => {}
            // The sender lives as long as the runtime.
            _ = receiver.wait_for(|signalled| *signalled) => {}
        }
        self.check()
    }
}
