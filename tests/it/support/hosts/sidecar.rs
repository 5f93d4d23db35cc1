//! The tlsramp of a host. Its state file survives it; its admin port is a Unix socket, which is reachable from every
//! namespace.

use std::{collections::BTreeMap, process::Output, time::Duration};

use rustix::process::Signal;
use serde_json::Value;

use super::{Host, running::Running};
use crate::support::{Mark, Scratch, log::Log, process, run_to_end};

/// A sidecar, killed on drop.
#[derive(Debug)]
pub(crate) struct Sidecar {
    host: Host,
    /// The group in which it runs, if packet filters must match it.
    group: Option<u32>,
    args: Vec<String>,
    running: Running,
    starts: usize,
    /// Declared last, so that the folder is removed after the process has ended.
    folder: Scratch,
}

impl Sidecar {
    /// Starts a sidecar with these routes and files, and waits until it is ready.
    pub(crate) fn start(host: &Host, group: Option<u32>, routes: &[String]) -> Self {
        let folder = Scratch::new("sidecar");
        let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let control = ["--adminBind", &format!("unix:{}", path(SOCKET)), "--stateFile", &path("state.json")];
        let logs = ["--logFormat", "json"].map(str::to_owned);
        let args = [routes, &control.map(str::to_owned), &logs].concat();
        let running = start(host, group, &args, &folder, 0);
        Self { host: host.clone(), group, args, running, starts: 1, folder }
    }

    /// Its admin port in the form of `--admin` and `--node`.
    pub(crate) fn admin(&self) -> String {
        format!("unix:{}", self.folder.join(SOCKET).display())
    }

    /// Runs `tlsramp ctl` against it.
    pub(crate) fn ctl(&self, args: &[&str]) -> Output {
        run_to_end([&["ctl", "--admin", &self.admin(), "--json"][..], args].concat())
    }

    /// As [`Sidecar::ctl`], for a command that must succeed. Returns the answer.
    #[track_caller]
    pub(crate) fn told(&self, args: &[&str]) -> Value {
        let output = self.ctl(args);
        let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(output.status.success(), "{}: ctl {args:?}: {out}{err}", self.host.name());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// The output of a `tlsramp ctl` command, whether it succeeds or not.
    pub(crate) fn told_or_not(&self, args: &[&str]) -> String {
        let output = self.ctl(args);
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
    }

    /// `GET /status`.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.told(&["status"])
    }

    /// The mode in force, in the older spelling.
    #[track_caller]
    pub(crate) fn mode(&self) -> String {
        self.status()["sslMode"].as_str().expect("a status has its mode").to_owned()
    }

    /// Its log since the last start.
    pub(crate) fn log(&self) -> &Log {
        &self.running.log
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// The number of its open descriptors of each kind.
    pub(crate) fn open_fds(&self) -> BTreeMap<String, usize> {
        self.running.open_fds()
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.running.kill();
    }

    /// Stops it regularly.
    pub(crate) fn terminate(&mut self) {
        self.running.end(Signal::TERM, STOP_LIMIT);
    }

    /// Starts it again with the state file that it left.
    pub(crate) fn restart(&mut self) {
        self.running.kill();
        self.running = start(&self.host, self.group, &self.args, &self.folder, self.starts);
        self.starts += 1;
    }

    /// Stops it regularly and starts it with a command line changed by `edit`.
    pub(crate) fn restart_with(&mut self, edit: impl FnOnce(&mut Vec<String>)) {
        self.terminate();
        self.restart_at_once_with(edit);
    }

    /// As [`Sidecar::restart_with`], after a kill instead of a regular stop.
    pub(crate) fn restart_at_once_with(&mut self, edit: impl FnOnce(&mut Vec<String>)) {
        edit(&mut self.args);
        self.restart();
    }

    /// Runs another `tlsramp` command on its host until it ends.
    pub(crate) fn tlsramp(&self, args: &[&str]) -> Output {
        let mut command = self.host.command(PROGRAM);
        command.args(args);
        process::output(command, STOP_LIMIT).unwrap_or_else(|why| panic!("{why}"))
    }
}

fn start(host: &Host, group: Option<u32>, args: &[String], folder: &Scratch, number: usize) -> Running {
    let mut command = match group {
        Some(group) => host.command_in_group(group, PROGRAM),
        None => host.command(PROGRAM),
    };
    command.arg("run").args(args);
    let copy = folder.join(format!("log-{number}"));
    let running = Running::start(&format!("tlsramp on {}", host.name()), command, &copy);
    running.wait(Mark::START, START_LIMIT, |line| line["message"] == "ready");
    running
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_tlsramp");
const SOCKET: &str = "admin.sock";
/// Long, because a machine may run many tests at once.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Longer than the default of `--drainTimeout`, 60 s.
const STOP_LIMIT: Duration = Duration::from_secs(90);
