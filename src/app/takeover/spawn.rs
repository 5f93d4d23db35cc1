//! Starts the next process from the running one, with the same command line. The program file at its path may be a
//! newer version by then.

use std::env;
use std::io;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crate::limits::{TAKEOVER_LOOK, TAKEOVER_START};

/// Starts the next process, unless one that was started before is still starting. A separate thread waits for the new
/// process, so that this process, once it is replaced, can end without waiting for the new one.
pub(crate) fn start_next(starting: &Arc<AtomicBool>) {
    if starting.swap(true, Ordering::Relaxed) {
        return tracing::warn!("a new process is starting already; the signal is ignored");
    }
    let ended = EndsStart(Arc::clone(starting));
    let child = match spawn() {
        Ok(child) => child,
        Err(error) => {
            return tracing::error!(%error, "cannot start the new process; this process serves on; check that the \
                program is still at its path");
        }
    };
    tracing::info!(pid = child.id(), "started a new process to replace this one");
    let waiting = thread::Builder::new().name("next-process".into()).spawn(move || wait(child, &ended));
    if let Err(error) = waiting {
        tracing::error!(%error, "cannot start a thread that waits for the new process");
    }
}

/// Allows the next start when dropped.
struct EndsStart(Arc<AtomicBool>);

impl Drop for EndsStart {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn spawn() -> io::Result<Child> {
    let mut words = env::args_os();
    let program = words.next().ok_or(io::ErrorKind::NotFound)?;
    // `WATCHDOG_PID` names this process. Without it, the new process serves the watchdog too, once it is the main
    // process.
    Command::new(program).args(words).env_remove("WATCHDOG_PID").spawn()
}

/// Waits until the new process ends, its time is over, or `starting` is false: `run` resets it when this process is
/// replaced.
fn wait(mut child: Child, EndsStart(starting): &EndsStart) {
    let began = Instant::now();
    let pid = child.id();
    loop {
        match child.try_wait() {
            // The process has replaced this one.
            Ok(None) if !starting.load(Ordering::Relaxed) => return,
            Ok(None) if began.elapsed() > TAKEOVER_START => {
                tracing::error!(pid, "the new process has not replaced this one in time and is killed");
                // The process may have ended meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
            Ok(None) => thread::sleep(TAKEOVER_LOOK),
            Ok(Some(status)) => {
                return tracing::error!(pid, %status, "the new process has ended and has not replaced this one, which \
                    serves on; its error output has the reason");
            }
            Err(error) => return tracing::error!(pid, %error, "cannot wait for the new process"),
        }
    }
}
