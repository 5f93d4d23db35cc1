//! Two hosts, as network namespaces with a cable between them: a sidecar's, and all others'. On both, small TCP servers
//! say which of them took a connection.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::process;

/// The hosts. Gone on drop, with their servers.
pub(crate) struct Hosts {
    name: String,
    children: Vec<Child>,
    /// The servers in the place of tlsramp's.
    tlsramp: Option<Child>,
}

/// A connection that is open.
pub(crate) struct Held {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    /// Addresses 10.98.0.1, 10.98.0.9, fd98::1, fd98::9. A mongod where the test says, tlsramp's port 27117, transparent, on
    /// all of them, and tlsramp's 27217 on 127.0.0.1 and ::1.
    Sidecar,
    /// Addresses 10.98.0.2, 10.98.0.3, fd98::2, fd98::3. Other members' ports 27017 and 27018.
    Others,
}

impl Hosts {
    /// With a mongod that listens on these.
    ///
    /// # Errors
    /// What this machine lacks.
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

    /// Starts a mongod that listens on these; it is the last one started, for [`Hosts::stop_last`].
    ///
    /// # Errors
    /// It does not come up.
    pub(crate) fn start_mongod(&mut self, at: &[&str]) -> Result<(), String> {
        self.start(Host::Sidecar, &[&["serve"], at].concat(), "ready").map(drop)
    }

    /// Starts servers in the place of tlsramp's.
    pub(crate) fn start_tlsramp(&mut self) {
        let at = ["0.0.0.0@27117@transparent", "::@27117@transparent", "127.0.0.1@27217", "::1@27217"];
        self.start(Host::Sidecar, &[&["serve"], &at[..]].concat(), "ready").unwrap();
        self.tlsramp = self.children.pop();
    }

    /// Kills them, as a crash would.
    pub(crate) fn kill_tlsramp(&mut self) {
        end(self.tlsramp.take());
    }

    /// Kills what was started last.
    pub(crate) fn stop_last(&mut self) {
        end(self.children.pop());
    }

    /// Starts a command on a host that goes on; it is the last one started.
    pub(crate) fn go_on(&mut self, host: Host, words: &[&str]) -> BufReader<ChildStdout> {
        let mut command = process::tethered("ip");
        command.args(["netns", "exec", &self.namespace(host)]).args(words).stdout(Stdio::piped());
        let mut child = process::spawn(command).unwrap();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        self.children.push(child);
        output
    }

    /// Waits for what was started last to end by itself.
    pub(crate) fn wait_last(&mut self) -> Option<ExitStatus> {
        process::wait(&mut self.children.pop()?, PATIENCE).unwrap()
    }

    /// Runs a command on a host, with input, to its end.
    pub(crate) fn output(&self, host: Host, words: &[&str], input: &str) -> Output {
        let mut command = process::tethered("ip");
        command.args(["netns", "exec", &self.namespace(host)]).args(words);
        process::output_with_input(command, input.as_bytes().to_vec(), PATIENCE).unwrap()
    }

    /// As [`Hosts::output`], for what has to succeed: what it printed.
    pub(crate) fn run(&self, host: Host, words: &[&str], input: &str) -> String {
        let output = self.output(host, words, input);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The answers to connections from one host, by one of its addresses, or `-`.
    pub(crate) fn connect(&self, host: Host, from: &str, to: &[&str]) -> Vec<String> {
        self.connect_by(host, &[], from, to)
    }

    /// The same, by a client that is started by `wrapper`.
    pub(crate) fn connect_by(&self, host: Host, wrapper: &[&str], from: &str, to: &[&str]) -> Vec<String> {
        let said = self.run(host, &[wrapper, &["python3", SCRIPT, "connect", from], to].concat(), "");
        said.lines().map(str::to_owned).collect()
    }

    /// A connection from one port of another host that its server closes first, which leaves that one in TIME_WAIT.
    pub(crate) fn closed(&self, from: &str, to: &str) -> String {
        self.run(Host::Others, &["python3", SCRIPT, "closed", from, to], "").trim().to_owned()
    }

    /// The answers to connections from another host, all at once: from an address, to an address and port. A host bounds how
    /// many ICMP messages it sends, so what is rejected by one may look like what is dropped: both are `closed`.
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

    /// Starts the script, and waits for the line by which it says that it is there.
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
    /// Sends a line; what comes back, or `broken`.
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

/// Removes what a killed run has left.
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
/// For a command on a busy machine; what waits for an answer that will not come has a limit of its own.
const PATIENCE: Duration = Duration::from_secs(60);
