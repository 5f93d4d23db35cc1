//! Ctrl-C and SIGTERM: told to whoever waits, so that a request under way is finished and no other is begun.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::halt::Halt;
use crate::app::Signals;

/// Whether a signal has come. Clones are told of the same.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens from now on. To be called on the runtime.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn listen() -> std::io::Result<Interrupt> {
        let mut signals = Signals::new()?;
        let (tell, told) = watch::channel(false);
        tokio::spawn(async move {
            // A second one changes nothing: every request is bounded, and so is what is left to do.
            loop {
                signals.stop().await;
                tell.send_replace(true);
            }
        });
        Ok(Interrupt(told))
    }

    /// Goes on, or not.
    ///
    /// # Errors
    /// [`Halt::Interrupted`]
    pub(super) fn check(&self) -> Result<(), Halt> {
        if *self.0.borrow() { Err(Halt::Interrupted) } else { Ok(()) }
    }

    /// A pause.
    ///
    /// # Errors
    /// [`Halt::Interrupted`]
    pub(super) async fn pause(&self, time: Duration) -> Result<(), Halt> {
        let mut told = self.0.clone();
        tokio::select! {
            () = sleep(time) => {}
            // The sender lives as long as the runtime.
            _ = told.wait_for(|come| *come) => {}
        }
        self.check()
    }
}
