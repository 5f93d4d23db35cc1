//! The mongod of a host: without TLS, with its data on disk, so that it can be killed and started again.
//!
//! The tests connect to it through a Unix socket, which is reachable from every namespace and bypasses sidecar and
//! network.

use std::{io::Write as _, os::unix::net::UnixStream, path::PathBuf, time::Duration};

use bson::{Document, RawDocumentBuf, doc};
use tlsramp::testing::msg_command;

use super::{Host, running::Running};
use crate::support::{Mark, Scratch, parts::Release, raw::Wire};

/// A mongod, killed on drop.
#[derive(Debug)]
pub(crate) struct Server {
    host: Host,
    release: Release,
    /// Its command line, which is the same at every start.
    args: Vec<String>,
    running: Running,
    starts: usize,
    /// Declared last, so that the folder is removed after the process has ended.
    folder: Scratch,
}

impl Server {
    /// Starts a mongod of the default release that listens on `bind`, with additional arguments.
    pub(crate) fn start(host: &Host, bind: &str, more: &[String]) -> Self {
        // If traffic were compressed, the captures could not be searched.
        let compression = ["--networkMessageCompressors", "disabled"].map(str::to_owned);
        Self::start_release(host, Release::V6_0, bind, &[&compression[..], more].concat())
    }

    /// As [`Server::start`], for any release and with its default compressors.
    pub(crate) fn start_release(host: &Host, release: Release, bind: &str, more: &[String]) -> Self {
        let folder = Scratch::new("server");
        std::fs::create_dir(folder.join("data")).expect("a folder for data");
        let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let listen = ["--bind_ip", bind, "--port", "27017", "--unixSocketPrefix", &path("")].map(str::to_owned);
        let storage = ["--dbpath", &path("data"), "--wiredTigerCacheSizeGB", "0.25"].map(str::to_owned);
        // The diagnostic data collection would run every second and write to the disk.
        let quiet = ["--setParameter", "diagnosticDataCollectionEnabled=false"];
        let args = [&listen[..], &storage, &quiet.map(str::to_owned), more].concat();
        let running = start(host, release, &args, &folder, 0);
        Self { host: host.clone(), release, args, running, starts: 1, folder }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Its log.
    pub(crate) fn log(&self) -> &crate::support::log::Log {
        &self.running.log
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.running.kill();
    }

    /// Starts it again on the same data.
    pub(crate) fn restart(&mut self) {
        self.running.kill();
        self.running = start(&self.host, self.release, &self.args, &self.folder, self.starts);
        self.starts += 1;
    }

    /// Stops it regularly and starts it with a command line changed by `edit`.
    pub(crate) fn restart_with(&mut self, edit: impl FnOnce(&mut Vec<String>)) {
        self.running.end(rustix::process::Signal::TERM, Duration::from_secs(60));
        edit(&mut self.args);
        self.restart();
    }

    /// The answer to a command.
    ///
    /// # Errors
    ///
    /// A text: there is no answer, or the answer is an error.
    pub(crate) fn ask(&self, database: &str, command: &Document) -> Result<Document, String> {
        let socket = self.socket();
        let stream = UnixStream::connect(&socket).map_err(|error| format!("{}: {error}", socket.display()))?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut wire = Wire(stream);
        let raw = RawDocumentBuf::try_from(command).expect("a document");
        wire.0.write_all(&msg_command(1, database, &raw)).map_err(|error| error.to_string())?;
        let reply = wire.answer().map_err(|error| error.to_string())?;
        let reply = Document::try_from(reply.document).map_err(|error| error.to_string())?;
        let ok = matches!(reply.get("ok"), Some(bson::Bson::Double(ok)) if *ok > 0.0);
        if ok { Ok(reply) } else { Err(format!("{command}: {reply}")) }
    }

    /// The state of the set as this member sees it: `replSetGetStatus`.
    pub(crate) fn status(&self) -> Result<Document, String> {
        self.ask("admin", &doc! { "replSetGetStatus": 1 })
    }

    /// The path of its Unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("mongodb-27017.sock")
    }
}

fn start(host: &Host, release: Release, args: &[String], folder: &Scratch, number: usize) -> Running {
    let mut command = host.command(release.mongod().expect("a test that starts a mongod requires it first"));
    command.args(args);
    let running = Running::start(&format!("mongod on {}", host.name()), command, &folder.join(format!("log-{number}")));
    // The line is a JSON object in 4.4 and later, and text before.
    let ready = |line: &str| line.contains("aiting for connections");
    running.log.wait_line(Mark::START, START_LIMIT, ready).unwrap_or_else(|why| panic!("mongod: {why}"));
    running
}

/// A start alone takes half a second; the limit allows for recovery and for a machine that runs many tests at once.
const START_LIMIT: Duration = Duration::from_secs(60);
/// These commands are answered from memory, wait for a majority, or read a gigabyte.
const PATIENCE: Duration = Duration::from_secs(300);
