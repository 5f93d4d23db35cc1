//! A thread that changes the mode up and down through the admin port until it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use tlsramp::testing::{AdminAddress, AdminClient, ModeRequest};

/// A running thread. Ends with [`Switch::stop`] or on drop.
#[derive(Debug)]
pub(crate) struct Switch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<u64, String>>>,
}

impl Switch {
    /// Changes between `allowSSL` and `preferSSL` at this interval.
    pub(crate) fn start(admin: u16, interval: Duration) -> Result<Switch, String> {
        let address: AdminAddress = format!("127.0.0.1:{admin}").parse().map_err(|_| "no admin address")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let client = AdminClient::new(address, None);
            for changes in 0.. {
                sleep(interval);
                if stopped.load(Ordering::Relaxed) {
                    return Ok(changes);
                }
                let mode = if changes % 2 == 0 { "allowSSL" } else { "preferSSL" };
                // The change is forced, because one of the two steps goes down.
                let request = ModeRequest { mode: mode.to_owned(), force: true, ..ModeRequest::default() };
                let answer = runtime.block_on(client.set_mode(&request));
                answer.map_err(|error| format!("the mode does not change: {error}"))?;
            }
            Ok(0)
        });
        Ok(Switch { stop, thread: Some(thread) })
    }

    /// Stops the thread. Returns the number of changes.
    ///
    /// # Errors
    /// A change was refused.
    pub(crate) fn stop(mut self) -> Result<u64, String> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        ended.and_then(Result::ok).unwrap_or_else(|| Err("the thread that changes the mode has panicked".to_owned()))
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
