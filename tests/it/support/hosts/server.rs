//! The mongod of a host: without TLS, its data on disk, so that it can be killed and started again.
//!
//! The tests ask it by a unix socket, which every namespace sees, and which neither sidecar nor network come into.

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
    /// Its command line, from start to start.
    args: Vec<String>,
    running: Running,
    starts: usize,
    /// Declared last: the folder goes after the process.
    folder: Scratch,
}

impl Server {
    /// Starts one of the release that the tests know best, which listens on `bind`, with more of its command line.
    pub(crate) fn start(host: &Host, bind: &str, more: &[String]) -> Self {
        // Compressed, nobody could tell what is on the wires.
        let compression = ["--networkMessageCompressors", "disabled"].map(str::to_owned);
        Self::start_release(host, Release::V6_0, bind, &[&compression[..], more].concat())
    }

    /// The same of any release, with the compressors that it has by default.
    pub(crate) fn start_release(host: &Host, release: Release, bind: &str, more: &[String]) -> Self {
        let folder = Scratch::new("server");
        std::fs::create_dir(folder.join("data")).expect("a folder for data");
        let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let listen = ["--bind_ip", bind, "--port", "27017", "--unixSocketPrefix", &path("")].map(str::to_owned);
        let storage = ["--dbpath", &path("data"), "--wiredTigerCacheSizeGB", "0.25"].map(str::to_owned);
        // The sampler would run every second and write to the disk.
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

    /// Stops it in good order and starts it with another command line from `edit`.
    pub(crate) fn restart_with(&mut self, edit: impl FnOnce(&mut Vec<String>)) {
        self.running.end(rustix::process::Signal::TERM, Duration::from_secs(60));
        edit(&mut self.args);
        self.restart();
    }

    /// The answer to a command.
    ///
    /// # Errors
    ///
    /// In words: it does not answer, or says no.
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

    /// What its set looks like to it: `replSetGetStatus`.
    pub(crate) fn status(&self) -> Result<Document, String> {
        self.ask("admin", &doc! { "replSetGetStatus": 1 })
    }

    /// Its unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("mongodb-27017.sock")
    }
}

fn start(host: &Host, release: Release, args: &[String], folder: &Scratch, number: usize) -> Running {
    let mut command = host.command(release.mongod().expect("a test that starts a mongod requires it first"));
    command.args(args);
    let running = Running::start(&format!("mongod on {}", host.name()), command, &folder.join(format!("log-{number}")));
    // A JSON object from 4.4 on, text before.
    let ready = |line: &str| line.contains("aiting for connections");
    running.log.wait_line(Mark::START, START_LIMIT, ready).unwrap_or_else(|why| panic!("mongod: {why}"));
    running
}

/// A start takes half a second alone; this is for a machine with many tests at once, and for recovery.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Commands here are answered from memory, or wait for a majority.
const PATIENCE: Duration = Duration::from_secs(60);
