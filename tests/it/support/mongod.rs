//! A real mongod on a free port of 127.0.0.1, with its data in a folder that is removed at the end.
//!
//! It starts in about 0.3 s. Tests may share one through a `LazyLock<Mongod>`: it is tethered (see [`process`]), so
//! nothing remains although statics are never dropped.

use std::{
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

use super::{Mark, Scratch, log::Log, parts, process};

/// How to start a mongod; by default a standalone server without TLS.
#[derive(Debug, Default, Clone)]
pub(crate) struct Options {
    /// mongod's own TLS; `None` for plaintext only.
    pub(crate) tls: Option<Tls>,
    /// The name of its replica set, which is not initiated yet. Such a mongod keeps a journal.
    pub(crate) replica_set: Option<String>,
    /// The port; `None` for a free port that the kernel chooses.
    pub(crate) port: Option<u16>,
    /// Whether it also listens on a unix socket, see [`Mongod::unix_socket`].
    pub(crate) unix_socket: bool,
    /// Additional arguments.
    pub(crate) args: Vec<String>,
}

/// mongod's own TLS options.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    /// `--tlsMode`: `allowTLS`, `preferTLS` or `requireTLS`.
    pub(crate) mode: &'static str,
    /// `--tlsCertificateKeyFile`.
    pub(crate) certificate_key_file: String,
    /// `--tlsCAFile`. If set, mongod requires a certificate from every client.
    pub(crate) ca_file: Option<String>,
}

/// A running mongod, killed on drop.
#[derive(Debug)]
pub(crate) struct Mongod {
    child: Child,
    port: u16,
    log: Log,
    /// Declared last, so that the folder is removed after the process has ended.
    folder: Scratch,
}

impl Mongod {
    /// Starts a mongod and waits until it accepts connections.
    ///
    /// # Panics
    ///
    /// If it does not start; the message contains the end of its log. A test begins with `require!(parts::mongod())`.
    pub(crate) fn start(options: &Options) -> Self {
        let program = parts::mongod().expect("a test that starts a mongod requires it first");
        let folder = Scratch::new("mongod");
        let log = Log::new(&folder.join("log"));
        let mut command = process::tethered(program);
        command.args(options.command_line(&folder));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process::spawn(command).expect("mongod starts");
        log.follow(child.stdout.take().expect("piped"));
        log.follow(child.stderr.take().expect("piped"));
        let mut mongod = Self { child, port: 0, log, folder };
        mongod.port = mongod.listening_port();
        mongod
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`, as for `--upstream`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The path of its Unix socket, if the options request one. mongod derives the name from `--port` as given, which
    /// may be 0.
    pub(crate) fn unix_socket(&self) -> PathBuf {
        let lines = self.log.objects(Mark::START);
        let mut addresses = lines.iter().filter_map(|line| line["attr"]["address"].as_str());
        addresses.find(|address| address.ends_with(".sock")).expect("a mongod with a unix socket").into()
    }

    /// Its log, one JSON object per line.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Number of connections that it has accepted since `mark` in its log.
    pub(crate) fn accepted(&self, mark: Mark) -> usize {
        self.log.objects(mark).iter().filter(|line| line["msg"] == "Connection accepted").count()
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The port that its log reports: with `--port 0` only the log contains it, and no other process can take the port
    /// first.
    fn listening_port(&self) -> u16 {
        let waits = |line: &serde_json::Value| line["msg"] == "Waiting for connections";
        let line = self.log.wait(Mark::START, START_LIMIT, waits);
        let line = line.unwrap_or_else(|why| panic!("mongod does not start: {why}"));
        line["attr"]["port"].as_u64().and_then(|port| port.try_into().ok()).expect("mongod says its port")
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Options {
    fn command_line(&self, folder: &Scratch) -> Vec<String> {
        let data = folder.join("data");
        std::fs::create_dir(&data).expect("a folder for data");
        let port = self.port.unwrap_or(0).to_string();
        let mut line = words(&["--dbpath", &data.to_string_lossy(), "--port", &port, "--bind_ip", "127.0.0.1"]);
        line.extend(words(&["--wiredTigerCacheSizeGB", "0.25"]));
        // Turns off the diagnostic data collection, which runs every second and writes to the disk.
        line.extend(words(&["--setParameter", "diagnosticDataCollectionEnabled=false"]));
        match self.unix_socket {
            true => line.extend(words(&["--unixSocketPrefix", &folder.path().to_string_lossy()])),
            false => line.push("--nounixsocket".to_owned()),
        }
        match &self.replica_set {
            Some(name) => line.extend(words(&["--replSet", name])),
            // This saves 100 MB and 0.2 s at the start. A member of a set must have a journal.
            None => line.push("--nojournal".to_owned()),
        }
        if let Some(tls) = &self.tls {
            line.extend(words(&["--tlsMode", tls.mode, "--tlsCertificateKeyFile", &tls.certificate_key_file]));
            line.extend(tls.ca_file.iter().flat_map(|file| words(&["--tlsCAFile", file])));
        }
        line.extend(self.args.clone());
        line
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A start alone takes 0.3 s; the limit is for a machine that runs many tests at once.
const START_LIMIT: Duration = Duration::from_secs(60);
