//! SIGINT and SIGTERM: a request in progress is finished, and no other is begun.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::halt::Halt;
use crate::app::Signals;

/// Whether a signal has come.
#[derive(Debug)]
pub(super) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens from now on. Must be called on the runtime.
    ///
    /// # Errors
    /// The system refuses the signal handlers.
    pub(super) fn listen() -> std::io::Result<Interrupt> {
        let mut signals = Signals::new()?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            // A second signal changes nothing: every request is bounded, and so is what is left to do.
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
