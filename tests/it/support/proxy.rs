//! The real `tlsramp` binary: started, listened to, signalled, stopped.
//!
//! It always logs JSON (`--logFormat json`), one object a line. It is ready when it says `{"message":"ready"}`; by then
//! it has said `{"message":"listening","route":...,"address":...}` for every listener, so `--port 0` works and no test
//! has to guess a free port.

use std::{
    ffi::{OsStr, OsString},
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::Duration,
};

pub(crate) use rustix::process::Signal;
use rustix::process::kill_process;
use serde_json::Value;

use super::{Mark, Scratch, log::Log, process};

/// A running `tlsramp run`, killed on drop. If the test is failing by then, the end of its log is printed.
#[derive(Debug)]
pub(crate) struct Proxy {
    child: Child,
    log: Log,
    listeners: Vec<(String, SocketAddr)>,
    /// Declared last: the folder goes after the process.
    folder: Scratch,
}

/// How a proxy is started; the default is `tlsramp run ARGS --logFormat json`.
#[derive(Debug)]
pub(crate) struct ProxyBuilder {
    args: Vec<OsString>,
    config: Option<String>,
    launcher: Command,
    stdin: Stdio,
}

impl ProxyBuilder {
    /// A proxy with these arguments.
    pub(crate) fn new<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        Self { args, config: None, launcher: process::tethered(PROGRAM), stdin: Stdio::null() }
    }

    /// With this text as its configuration file, see [`Proxy::config_file`].
    pub(crate) fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// Through a tethered command, which becomes the program: its path and arguments are appended.
    pub(crate) fn through(mut self, mut launcher: Command) -> Self {
        launcher.arg(PROGRAM);
        self.launcher = launcher;
        self
    }

    /// Through a command of these words: under limits, in a namespace.
    pub(crate) fn wrapped(self, wrapper: &[String]) -> Self {
        let mut launcher = process::tethered(&wrapper[0]);
        launcher.args(&wrapper[1..]);
        self.through(launcher)
    }

    /// With this as its standard input.
    pub(crate) fn stdin(mut self, stdin: Stdio) -> Self {
        self.stdin = stdin;
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it does not become ready; with the end of its log.
    pub(crate) fn start(self) -> Proxy {
        let mut proxy = self.launch();
        proxy.wait_ready();
        proxy
    }

    /// Starts it without waiting until it is ready, see [`Proxy::wait_ready`].
    pub(crate) fn launch(self) -> Proxy {
        let Self { args, config, launcher: mut command, stdin } = self;
        let folder = Scratch::new("proxy");
        let log = Log::new(&folder.join("log"));
        let given = |flag: &str| args.iter().any(|arg| arg == flag);
        command.arg("run");
        if let Some(text) = &config {
            let file = folder.join(CONFIG);
            fs::write(&file, text).expect("writes the configuration");
            command.arg("--config").arg(file);
        }
        command.args(&args).args(["--logFormat", "json"]);
        // Most servers of the tests count their connections, and do not speak MongoDB.
        if !given("--upstreamProbe") {
            command.args(["--upstreamProbe", "off"]);
        }
        // Without an inbound port of its own choice, the admin port would be the same for all.
        if !given("--port") && !given("--adminBind") && !given("--config") && config.is_none() {
            command.args(["--adminBind", "127.0.0.1:0"]);
        }
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process::spawn(command).expect("tlsramp starts");
        log.follow(child.stdout.take().expect("piped"));
        log.follow(child.stderr.take().expect("piped"));
        Proxy { child, log, listeners: Vec::new(), folder }
    }
}

impl Proxy {
    /// Starts a proxy with these arguments, and waits until it is ready.
    pub(crate) fn start<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        ProxyBuilder::new(args).start()
    }

    /// The same with this text as its configuration file.
    pub(crate) fn start_with_config<A: AsRef<OsStr>>(text: &str, args: impl IntoIterator<Item = A>) -> Self {
        ProxyBuilder::new(args).config(text).start()
    }

    /// Waits until it is ready, and learns where it listens.
    pub(crate) fn wait_ready(&mut self) {
        self.wait_log(|line| line["message"] == "ready", START_LIMIT);
        self.listeners = self.log.objects(Mark::START).iter().filter_map(listener).collect();
    }

    /// The port of the inbound route.
    pub(crate) fn port(&self) -> u16 {
        self.address("inbound").port()
    }

    /// Where a route listens; `route` is its name as logged. The first, where it has several addresses.
    pub(crate) fn address(&self, route: &str) -> SocketAddr {
        let found = self.listeners.iter().find(|(name, _)| name == route);
        found.unwrap_or_else(|| panic!("no route {route:?} in {:?}", self.listeners)).1
    }

    /// Where the n-th outbound route listens, from 0, in the order logged.
    pub(crate) fn outbound(&self, n: usize) -> SocketAddr {
        let found = self.listeners.iter().filter(|(name, _)| name.starts_with("outbound")).nth(n);
        found.unwrap_or_else(|| panic!("no outbound route {n} in {:?}", self.listeners)).1
    }

    /// Every listener: route and address, in the order logged.
    pub(crate) fn listeners(&self) -> &[(String, SocketAddr)] {
        &self.listeners
    }

    /// The configuration file of [`start_with_config`](Self::start_with_config); a test may rewrite it.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.join(CONFIG)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(process::pid(&self.child), signal).expect("the proxy is there to be signalled");
    }

    /// The end of the log as of now, for [`wait_log_since`](Self::wait_log_since): "from now on".
    pub(crate) fn mark(&self) -> Mark {
        self.log.mark()
    }

    /// The whole log.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The first line of the log that is `wanted`; waits for it.
    ///
    /// # Panics
    ///
    /// Where it is not there within `limit`, or the proxy ends; with the end of its log.
    #[track_caller]
    pub(crate) fn wait_log(&self, wanted: impl FnMut(&Value) -> bool, limit: Duration) -> Value {
        self.wait_log_since(Mark::START, wanted, limit)
    }

    /// As [`wait_log`](Self::wait_log), of the lines after `mark`.
    #[track_caller]
    pub(crate) fn wait_log_since(&self, mark: Mark, wanted: impl FnMut(&Value) -> bool, limit: Duration) -> Value {
        self.log.wait(mark, limit, wanted).unwrap_or_else(|why| panic!("tlsramp: {why}"))
    }

    /// The connection records so far.
    pub(crate) fn records(&self) -> Vec<Value> {
        self.records_since(Mark::START)
    }

    /// The connection records after `mark`.
    pub(crate) fn records_since(&self, mark: Mark) -> Vec<Value> {
        self.log.objects(mark).into_iter().filter(is_record).collect()
    }

    /// The first connection record after `mark` that is `wanted`; waits for it as [`wait_log`](Self::wait_log) does.
    #[track_caller]
    pub(crate) fn wait_record(&self, mark: Mark, mut wanted: impl FnMut(&Value) -> bool, limit: Duration) -> Value {
        self.wait_log_since(mark, |line| is_record(line) && wanted(line), limit)
    }

    /// The record of the first connection to end of those that were accepted after `mark`; waits for it. The record of an
    /// earlier connection may come after the mark, too.
    #[track_caller]
    pub(crate) fn wait_next(&self, mark: Mark, limit: Duration) -> Value {
        self.wait_record(mark, |record| mark.precedes(record), limit)
    }

    /// Connects in some way, again until the connection has a record: of each outcome ten lines a second are logged, and the
    /// others are only counted. Gives the record, and what came of the attempt.
    #[track_caller]
    pub(crate) fn recorded<T>(&self, mut attempt: impl FnMut() -> T) -> (Value, T) {
        loop {
            let mark = self.mark();
            let result = attempt();
            let is_told = |line: &Value| {
                (is_record(line) && mark.precedes(line)) || line["message"] == "connection lines left out"
            };
            let line = self.wait_log_since(mark, is_told, START_LIMIT);
            if is_record(&line) {
                return (line, result);
            }
        }
    }

    /// CPU time so far, user and system, in clock ticks: 100 a second on Linux.
    pub(crate) fn cpu(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("the proxy runs");
        // After the program's name, which is in brackets and may hold anything: field 3 (the state) and on.
        let fields: Vec<&str> = stat[stat.rfind(')').expect("brackets") + 1..].split_whitespace().collect();
        [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    /// How many descriptors it has open.
    pub(crate) fn open_fds(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the proxy runs").count()
    }

    /// Waits for it to end by itself; `None` where it has not within `limit`.
    pub(crate) fn wait_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        process::wait(&mut self.child, limit).expect("can be waited for")
    }

    /// Stops it with SIGTERM.
    ///
    /// # Panics
    ///
    /// Where it has not ended within ten seconds; it is killed then.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        if self.wait_exit(Duration::ZERO).is_none() {
            self.signal(Signal::TERM);
        }
        self.wait_exit(STOP_LIMIT).unwrap_or_else(|| {
            self.kill();
            panic!("tlsramp does not end within {STOP_LIMIT:?} of SIGTERM");
        })
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("the end of the log of tlsramp {}:\n{}", self.pid(), self.log.tail());
        }
    }
}

/// Runs `tlsramp ARGS` (the command included) to its end, in at most twenty seconds: for `check`, and for `run` with
/// what must not start.
pub(crate) fn run_to_end<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    let mut command = process::tethered(PROGRAM);
    command.args(args);
    process::output(command, Duration::from_secs(20)).unwrap_or_else(|why| panic!("{why}"))
}

fn listener(line: &Value) -> Option<(String, SocketAddr)> {
    let listening = line["message"] == "listening";
    // A unix socket is no address to connect to by port: left out.
    let address = line["address"].as_str().filter(|_| listening)?.parse().ok()?;
    Some((line["route"].as_str()?.to_owned(), address))
}

fn is_record(line: &Value) -> bool {
    line["message"] == "connection"
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_tlsramp");
const CONFIG: &str = "tlsramp.conf";
/// Generous: a machine may run many tests at once.
const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(10);
