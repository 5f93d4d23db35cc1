//! Two hosts as network namespaces, connected by a virtual cable: the host of a sidecar, and a host that stands for all
//! others. Small TCP servers on both hosts identify themselves to clients, so that a test sees which of them accepted a
//! connection.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::process;

/// The two hosts. They are removed on drop, with their servers.
pub(crate) struct Hosts {
    name: String,
    children: Vec<Child>,
    /// The servers that take the place of tlsramp's listeners.
    tlsramp: Option<Child>,
}

/// A connection that stays open.
pub(crate) struct Held {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// One of the two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    /// Addresses 10.98.0.1, 10.98.0.9, fd98::1, fd98::9. A mongod at the addresses that the test chooses; tlsramp's
    /// port 27117, transparent, on all addresses; and tlsramp's port 27217 on 127.0.0.1 and ::1.
    Sidecar,
    /// Addresses 10.98.0.2, 10.98.0.3, fd98::2, fd98::3. Ports 27017 and 27018 of other members.
    Others,
}

impl Hosts {
    /// Creates the hosts, with a mongod that listens on these addresses.
    ///
    /// # Errors
    /// A command or a privilege that this machine lacks.
    pub(crate) fn with_mongod(mongod: &[&str]) -> Result<Self, String> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        sweep();
        let name = format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut hosts = Self { name, children: Vec::new(), tlsramp: None };
        for host in [Host::Sidecar, Host::Others] {
            ip(&["netns", "add", &hosts.namespace(host)])?;
        }
        let [sidecar, others] = [Host::Sidecar, Host::Others].map(|host| hosts.namespace(host));
        ip(&["-n", &sidecar, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &others])?;
        for host in [Host::Sidecar, Host::Others] {
            let namespace = hosts.namespace(host);
            for address in host.addresses() {
                ip(&["-n", &namespace, "address", "add", address, "dev", "eth0", "nodad"])?;
            }
            for link in ["lo", "eth0"] {
                ip(&["-n", &namespace, "link", "set", link, "up"])?;
            }
        }
        hosts.start(Host::Others, &["serve", "0.0.0.0@27017", "::@27017", "0.0.0.0@27018", "::@27018"], "ready")?;
        hosts.start_mongod(mongod)?;
        hosts.start_tlsramp();
        Ok(hosts)
    }

    /// Starts a mongod that listens on these addresses. It is then the process that [`Hosts::stop_last`] ends.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start_mongod(&mut self, at: &[&str]) -> Result<(), String> {
        self.start(Host::Sidecar, &[&["serve"], at].concat(), "ready").map(drop)
    }

    /// Starts the servers that take the place of tlsramp's listeners.
    pub(crate) fn start_tlsramp(&mut self) {
        let at = ["0.0.0.0@27117@transparent", "::@27117@transparent", "127.0.0.1@27217", "::1@27217"];
        self.start(Host::Sidecar, &[&["serve"], &at[..]].concat(), "ready").unwrap();
        self.tlsramp = self.children.pop();
    }

    /// Kills the servers that [`Hosts::start_tlsramp`] started, as a crash would.
    pub(crate) fn kill_tlsramp(&mut self) {
        end(self.tlsramp.take());
    }

    /// Kills the process that was started last.
    pub(crate) fn stop_last(&mut self) {
        end(self.children.pop());
    }

    /// Starts a command that keeps running on a host. It is then the process that was started last.
    pub(crate) fn go_on(&mut self, host: Host, words: &[&str]) -> BufReader<ChildStdout> {
        let mut command = process::tethered("ip");
        command.args(["netns", "exec", &self.namespace(host)]).args(words).stdout(Stdio::piped());
        let mut child = process::spawn(command).unwrap();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        self.children.push(child);
        output
    }

    /// Waits until the process that was started last ends by itself.
    pub(crate) fn wait_last(&mut self) -> Option<ExitStatus> {
        process::wait(&mut self.children.pop()?, PATIENCE).unwrap()
    }

    /// Runs a command on a host until it ends, with this standard input.
    pub(crate) fn output(&self, host: Host, words: &[&str], input: &str) -> Output {
        let mut command = process::tethered("ip");
        command.args(["netns", "exec", &self.namespace(host)]).args(words);
        process::output_with_input(command, input.as_bytes().to_vec(), PATIENCE).unwrap()
    }

    /// As [`Hosts::output`], for a command that must succeed. Returns its standard output.
    pub(crate) fn run(&self, host: Host, words: &[&str], input: &str) -> String {
        let output = self.output(host, words, input);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The answers to connections from one host. `from` is the source address, or `-` for any.
    pub(crate) fn connect(&self, host: Host, from: &str, to: &[&str]) -> Vec<String> {
        self.connect_by(host, &[], from, to)
    }

    /// As [`Hosts::connect`], by a client that is started through the command `wrapper`.
    pub(crate) fn connect_by(&self, host: Host, wrapper: &[&str], from: &str, to: &[&str]) -> Vec<String> {
        let said = self.run(host, &[wrapper, &["python3", SCRIPT, "connect", from], to].concat(), "");
        said.lines().map(str::to_owned).collect()
    }

    /// Makes a connection from a given port of the other host. The server closes it first, so that it stays in
    /// TIME_WAIT on the server's side.
    pub(crate) fn closed(&self, from: &str, to: &str) -> String {
        self.run(Host::Others, &["python3", SCRIPT, "closed", from, to], "").trim().to_owned()
    }

    /// The answers to several connections from the other host at once, each from an address to an address and port. A
    /// host limits the rate of its ICMP messages, so a rejected connection may look like a dropped one: both are
    /// reported as `closed`.
    pub(crate) fn reach(&self, pairs: &[String]) -> Vec<String> {
        let pairs = pairs.iter().map(String::as_str);
        let words: Vec<&str> = ["python3", SCRIPT, "reach"].into_iter().chain(pairs).collect();
        let closed = |said| if matches!(said, "nothing" | "EHOSTUNREACH" | "EACCES") { "closed" } else { said };
        self.run(Host::Others, &words, "").lines().map(|said| closed(said).to_owned()).collect()
    }

    /// Opens a connection that stays open.
    pub(crate) fn hold(&mut self, host: Host, to: &str) -> Held {
        let output = self.start(host, &["hold", to], "27").unwrap();
        let input = self.children.last_mut().and_then(|child| child.stdin.take()).expect("piped");
        Held { input, output }
    }

    /// Starts the script and waits for the line that reports that it is ready.
    fn start(&mut self, host: Host, words: &[&str], expected: &str) -> Result<BufReader<ChildStdout>, String> {
        let mut command = process::tethered("ip");
        command.args(["netns", "exec", &self.namespace(host), "python3", SCRIPT]).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = process::spawn(command).map_err(|error| error.to_string())?;
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let read = output.read_line(&mut line);
        self.children.push(child);
        if read.is_ok() && line.starts_with(expected) { Ok(output) } else { Err(format!("{words:?} said {line:?}")) }
    }

    fn namespace(&self, host: Host) -> String {
        format!("{}-{}", self.name, host.name())
    }
}

impl Held {
    /// Sends a line. Returns the answer, or `broken` if the connection failed.
    pub(crate) fn asks(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.children.drain(..).chain(self.tlsramp.take()).for_each(|child| end(Some(child)));
        for host in [Host::Sidecar, Host::Others] {
            let _ = ip(&["netns", "delete", &self.namespace(host)]);
        }
    }
}

impl Host {
    const fn name(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Others => "others",
        }
    }

    const fn addresses(self) -> &'static [&'static str] {
        match self {
            Self::Sidecar => &["10.98.0.1/24", "10.98.0.9/24", "fd98::1/64", "fd98::9/64"],
            Self::Others => &["10.98.0.2/24", "10.98.0.3/24", "fd98::2/64", "fd98::3/64"],
        }
    }
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Removes the namespaces of killed runs.
fn sweep() {
    let left = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for name in left.filter_map(|entry| entry.file_name().into_string().ok()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !std::path::Path::new("/proc").join(process).exists()) {
            let _ = ip(&["netns", "delete", &name]);
        }
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(args);
    process::succeed(command, PATIENCE).map(|_| ())
}

const PREFIX: &str = "tlsramp-hosts-";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/py/tcp.py");
/// For a command on a busy machine. A command that may get no answer has a time limit of its own.
const PATIENCE: Duration = Duration::from_secs(60);
