//! The real `tlsramp` binary: started, observed, signalled, stopped.
//!
//! It always logs JSON (`--logFormat json`), one object per line. It is ready when it logs `{"message":"ready"}`.
//! Before that, it has logged `{"message":"listening","route":...,"address":...}` for every listener, so `--port 0`
//! works and no test has to guess a free port.

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

/// A running `tlsramp run`, killed on drop. If the test is failing at that time, the end of the log is printed.
#[derive(Debug)]
pub(crate) struct Proxy {
    child: Child,
    log: Log,
    listeners: Vec<(String, SocketAddr)>,
    /// Declared last, so that the folder is removed after the process has ended.
    folder: Scratch,
}

/// How to start a proxy; by default with `tlsramp run ARGS --logFormat json`.
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

    /// Sets the text of its configuration file, see [`Proxy::config_file`].
    pub(crate) fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    /// Starts it through a tethered command, to which the path and arguments of the program are appended.
    pub(crate) fn through(mut self, mut launcher: Command) -> Self {
        launcher.arg(PROGRAM);
        self.launcher = launcher;
        self
    }

    /// Starts it through a command with these words, for example under limits or in a namespace.
    pub(crate) fn wrapped(self, wrapper: &[String]) -> Self {
        let mut launcher = process::tethered(&wrapper[0]);
        launcher.args(&wrapper[1..]);
        self.through(launcher)
    }

    /// Sets its standard input.
    pub(crate) fn stdin(mut self, stdin: Stdio) -> Self {
        self.stdin = stdin;
        self
    }

    /// Starts the proxy and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it does not become ready; the message contains the end of its log.
    pub(crate) fn start(self) -> Proxy {
        let mut proxy = self.launch();
        proxy.wait_ready();
        proxy
    }

    /// Starts the proxy without waiting until it is ready, see [`Proxy::wait_ready`].
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
        // Most servers of the tests count their connections and do not speak MongoDB, so probes are off by default.
        if !given("--upstreamProbe") {
            command.args(["--upstreamProbe", "off"]);
        }
        // Without an inbound port of its own, every proxy would use the same admin port.
        let names = |word: &str| config.as_ref().is_some_and(|text| text.contains(word));
        if !["--port", "--adminBind", "--config"].into_iter().any(given) && !names("port") && !names("admin") {
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

    /// As [`Proxy::start`], with this text as the configuration file.
    pub(crate) fn start_with_config<A: AsRef<OsStr>>(text: &str, args: impl IntoIterator<Item = A>) -> Self {
        ProxyBuilder::new(args).config(text).start()
    }

    /// Waits until it is ready, and reads the addresses of its listeners.
    pub(crate) fn wait_ready(&mut self) {
        self.wait_log(|line| line["message"] == "ready", START_LIMIT);
        self.listeners = self.log.objects(Mark::START).iter().filter_map(listener).collect();
    }

    /// The port of the inbound route.
    pub(crate) fn port(&self) -> u16 {
        self.address("inbound").port()
    }

    /// The address on which a route listens; `route` is its name in the log. The first one, if it has several.
    pub(crate) fn address(&self, route: &str) -> SocketAddr {
        let found = self.listeners.iter().find(|(name, _)| name == route);
        found.unwrap_or_else(|| panic!("no route {route:?} in {:?}", self.listeners)).1
    }

    /// The address on which the n-th outbound route listens, from 0, in the order of the log.
    pub(crate) fn outbound(&self, n: usize) -> SocketAddr {
        let found = self.listeners.iter().filter(|(name, _)| name.starts_with("outbound")).nth(n);
        found.unwrap_or_else(|| panic!("no outbound route {n} in {:?}", self.listeners)).1
    }

    /// Route and address of every listener, in the order of the log.
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

    /// The current end of the log, for [`wait_log_since`](Self::wait_log_since).
    pub(crate) fn mark(&self) -> Mark {
        self.log.mark()
    }

    /// The whole log.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Waits for the first line of the log for which `wanted` returns true.
    ///
    /// # Panics
    ///
    /// If there is no such line within `limit`, or the proxy ends; the message contains the end of its log.
    #[track_caller]
    pub(crate) fn wait_log(&self, wanted: impl FnMut(&Value) -> bool, limit: Duration) -> Value {
        self.wait_log_since(Mark::START, wanted, limit)
    }

    /// As [`wait_log`](Self::wait_log), for lines after `mark`.
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

    /// Waits, as [`wait_log`](Self::wait_log) does, for the first connection record after `mark` for which `wanted`
    /// returns true.
    #[track_caller]
    pub(crate) fn wait_record(&self, mark: Mark, mut wanted: impl FnMut(&Value) -> bool, limit: Duration) -> Value {
        self.wait_log_since(mark, |line| is_record(line) && wanted(line), limit)
    }

    /// Waits for the record of the connection that ended first among those accepted after `mark`. Records of earlier
    /// connections may also be logged after the mark.
    #[track_caller]
    pub(crate) fn wait_next(&self, mark: Mark, limit: Duration) -> Value {
        self.wait_record(mark, |record| mark.precedes(record), limit)
    }

    /// Calls `attempt`, which makes a connection, until the connection has a record: of refused and failed connections,
    /// only ten per second and outcome are logged, and further ones are only counted. Returns the record, and the
    /// result of the attempt.
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

    /// Processor time so far, user and system, in clock ticks: 100 per second on Linux.
    pub(crate) fn cpu(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("the proxy runs");
        // The fields after the program's name, which is in brackets and may contain any character; the first is field 3
        // (the state).
        let fields: Vec<&str> = stat[stat.rfind(')').expect("brackets") + 1..].split_whitespace().collect();
        [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }

    /// Number of its open descriptors.
    pub(crate) fn open_fds(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the proxy runs").count()
    }

    /// Waits for it to end by itself; `None` if it does not within `limit`.
    pub(crate) fn wait_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        process::wait(&mut self.child, limit).expect("can be waited for")
    }

    /// Stops it with SIGTERM.
    ///
    /// # Panics
    ///
    /// If it has not ended after half a minute. It is then killed.
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

/// Runs `tlsramp ARGS` (with the command in ARGS) until it ends, for at most a minute: for `check`, and for `run`
/// if the start must fail.
pub(crate) fn run_to_end<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    let mut command = process::tethered(PROGRAM);
    command.args(args);
    process::output(command, Duration::from_secs(60)).unwrap_or_else(|why| panic!("{why}"))
}

fn listener(line: &Value) -> Option<(String, SocketAddr)> {
    let listening = line["message"] == "listening";
    // The address of a Unix socket has no port to connect to, so it is left out.
    let address = line["address"].as_str().filter(|_| listening)?.parse().ok()?;
    Some((line["route"].as_str()?.to_owned(), address))
}

fn is_record(line: &Value) -> bool {
    line["message"] == "connection"
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_tlsramp");
const CONFIG: &str = "tlsramp.conf";
/// Long, because a machine may run many tests at once.
const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(30);
