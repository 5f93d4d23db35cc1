//! A process that a bench has started: its id, its children, its log, and its reliable end.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use procfs::process::all_processes;
use rustix::process::{Pid, Signal, kill_process};

use super::{process, require};

/// A running process, which is ended on drop. If the bench is killed, the kernel sends SIGTERM to the process (through
/// `setpriv`, if installed).
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program whose output goes to a file in `folder`. The calling thread must live as long as the bench.
    ///
    /// # Errors
    /// The program does not start.
    pub(crate) fn start(name: &str, program: &Path, args: &[String], folder: &Path) -> Result<Running, String> {
        let log = folder.join(format!("{name}.log"));
        let in_words = |error: std::io::Error| format!("{name}: cannot start {}: {error}", program.display());
        let output = File::create(&log).map_err(in_words)?;
        let mut command = match require::command("setpriv") {
            Ok(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "TERM", "--"]).arg(program);
                command
            }
            Err(_) => Command::new(program),
        };
        command.args(args).current_dir(folder).stdin(Stdio::null());
        command.stdout(output.try_clone().map_err(in_words)?).stderr(output);
        let child = command.spawn().map_err(in_words)?;
        Ok(Running { name: name.to_owned(), child, log })
    }

    /// Waits until these ports of 127.0.0.1 accept connections.
    ///
    /// # Errors
    /// The ports do not accept connections in time, or the process has ended. The error includes the end of the log.
    pub(crate) fn wait_for(&mut self, ports: &[u16]) -> Result<(), String> {
        let deadline = Instant::now() + START_LIMIT;
        for port in ports {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            while TcpStream::connect_timeout(&address, LOOK * 200).is_err() {
                let ended = self.child.try_wait().map_err(|error| error.to_string())?;
                if let Some(status) = ended {
                    return Err(format!("{} has ended ({status}): {}", self.name, self.last_words()));
                }
                if Instant::now() > deadline {
                    return Err(format!("{} does not listen on {address}: {}", self.name, self.last_words()));
                }
                sleep(LOOK);
            }
        }
        Ok(())
    }

    /// The ids of the process and of its children, such as worker processes.
    pub(crate) fn family(&self) -> Vec<i32> {
        let mut family = vec![self.id()];
        let parents: Vec<(i32, i32)> = all_processes()
            .map(|all| all.flatten().filter_map(|one| one.stat().ok()).map(|stat| (stat.pid, stat.ppid)).collect())
            .unwrap_or_default();
        let mut next = 0;
        while let Some(parent) = family.get(next).copied() {
            family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        family
    }

    /// Whether the process is still running.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn id(&self) -> i32 {
        self.child.id().try_into().unwrap_or(i32::MAX)
    }

    fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(5)..].join(" / ")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The children must be listed before their parent ends.
        let family = self.family();
        let _ = kill_process(process::pid(&self.child), Signal::TERM);
        if !matches!(process::wait(&mut self.child, END_LIMIT), Ok(Some(_))) {
            let workers = family.iter().skip(1).filter_map(|pid| Pid::from_raw(*pid));
            for pid in workers {
                // The process may have ended already.
                let _ = kill_process(pid, Signal::KILL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Every peer starts within a second on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Longer than a proxy without connections takes to end.
const END_LIMIT: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(1);
