//! Starts the next process from the running one, with the same command line. The program's file may be a newer version by
//! then.
//!
//! An intermediate process starts it and ends, so that the next process becomes a child of the service manager. At a stop,
//! systemd does not wait for a main process that is not its child, but kills it at once.

use std::env;
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use rustix::net::sockopt::socket_type;
use rustix::process::{Pid, Signal, getpid, kill_process, test_kill_process};

use crate::limits::{TAKEOVER_LOOK, TAKEOVER_START};

/// The first argument of the intermediate process; the others are those of the next process.
pub const START_NEXT: &str = "start-next";

/// Starts the next process, unless an earlier one is still starting. A thread of its own watches the new process until it
/// ends or has replaced this one.
pub(crate) fn start_next(starting: &Arc<AtomicBool>) {
    if getpid() == Pid::INIT {
        return tracing::warn!(
            "SIGUSR2 is ignored, because this is the first process of a container: all others end with it. Replace the \
             container instead"
        );
    }
    if starting.swap(true, Ordering::Relaxed) {
        return tracing::warn!("a new process is starting already; the signal is ignored");
    }
    let ended = EndsStart(Arc::clone(starting));
    let started = thread::Builder::new().name("next-process".into()).spawn(move || match spawn() {
        Ok(next) => {
            tracing::info!(pid = next.as_raw_nonzero(), "started a new process to replace this one");
            wait(next, &ended);
        }
        Err(error) => tracing::error!(%error, "cannot start the new process; this process serves on; check that the \
            program is still at its path"),
    });
    if let Err(error) = started {
        tracing::error!(%error, "cannot start a thread for the new process; this process serves on");
    }
}

/// The intermediate process: starts the next one, reports its process ID on the socket that it has as standard input, and
/// ends.
pub fn start_detached(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    if socket_type(io::stdin()).is_err() {
        let _ = writeln!(io::stderr(), "tlsramp: {START_NEXT} is used by a running tlsramp only; send it SIGUSR2");
        return ExitCode::from(2);
    }
    let Some(program) = env::args_os().next() else { return ExitCode::FAILURE };
    let started = Command::new(program).args(arguments).stdin(Stdio::null()).spawn();
    let reported = started.and_then(|child| Ok(rustix::io::write(io::stdin(), child.id().to_string().as_bytes())?));
    match reported {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed standard error is no reason to fail in another way.
            let _ = writeln!(io::stderr(), "tlsramp: cannot start the new process: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Allows the next start when dropped.
struct EndsStart(Arc<AtomicBool>);

impl Drop for EndsStart {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn spawn() -> io::Result<Pid> {
    let mut words = env::args_os();
    let program = words.next().ok_or(io::ErrorKind::NotFound)?;
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(program);
    command.arg(START_NEXT).args(words).stdin(OwnedFd::from(theirs));
    // This variable has the ID of this process. Without it, the watchdog also applies to the next process once that is
    // the main process.
    let mut intermediate = command.env_remove("WATCHDOG_PID").spawn()?;
    // `command` holds the child's half of the socket pair. While it is open, the read below does not find the end of the
    // stream when the intermediate process exits.
    drop(command);
    let mut pid = String::new();
    let read = ours.read_to_string(&mut pid);
    intermediate.wait()?;
    read?;
    let pid = pid.parse().ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("it did not report its process ID; its error output has the reason"))
}

/// Waits until the new process ends, its time is over, or it has replaced this process, which resets `starting`.
fn wait(next: Pid, EndsStart(starting): &EndsStart) {
    let began = Instant::now();
    let pid = next.as_raw_nonzero();
    while starting.load(Ordering::Relaxed) {
        // Not a child of this process, so there is no exit status.
        if test_kill_process(next).is_err() {
            return tracing::error!(
                pid,
                "the new process has ended and has not replaced this one, which serves on; its \
                error output has the reason"
            );
        }
        if began.elapsed() > TAKEOVER_START {
            tracing::error!(pid, "the new process has not replaced this one in time and is killed");
            // The process may have ended meanwhile.
            let _ = kill_process(next, Signal::KILL);
            return;
        }
        thread::sleep(TAKEOVER_LOOK);
    }
}
