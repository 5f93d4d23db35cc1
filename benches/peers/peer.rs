//! The proxies that are measured, and how each is started: one certificate, one port for TLS and, if the
//! proxy supports plaintext, another port for plaintext. tlsramp has one port for both.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::configs::{self, Place};
use super::install;
use super::support::{Certs, Running, Scratch, ports, require, tlsramp};

/// A proxy: a column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Tlsramp,
    Haproxy,
    Nginx,
    Envoy,
    Hitch,
    Stunnel,
    /// HAProxy with a line in a log file for each connection, as tlsramp writes one.
    HaproxyLog,
    /// nginx with the same.
    NginxLog,
    /// tokio-rustls with `copy_bidirectional`.
    Naive,
    /// No proxy: the clients connect to the server.
    Direct,
}

/// All peers, in the order of the table's columns.
pub(crate) const PEERS: [Peer; 10] = [
    Peer::Haproxy,
    Peer::Nginx,
    Peer::Envoy,
    Peer::Hitch,
    Peer::Stunnel,
    Peer::HaproxyLog,
    Peer::NginxLog,
    Peer::Naive,
    Peer::Tlsramp,
    Peer::Direct,
];

impl Peer {
    pub(crate) fn key(self) -> &'static str {
        match self {
            Peer::Tlsramp => "tlsramp",
            Peer::Haproxy => "haproxy",
            Peer::Nginx => "nginx",
            Peer::Envoy => "envoy",
            Peer::Hitch => "hitch",
            Peer::Stunnel => "stunnel",
            Peer::HaproxyLog => "haproxy-log",
            Peer::NginxLog => "nginx-log",
            Peer::Naive => "naive",
            Peer::Direct => "direct",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Peer::Tlsramp => "tlsramp",
            Peer::Haproxy => "HAProxy",
            Peer::Nginx => "nginx stream",
            Peer::Envoy => "Envoy",
            Peer::Hitch => "hitch",
            Peer::Stunnel => "stunnel",
            Peer::HaproxyLog => "HAProxy, log",
            Peer::NginxLog => "nginx, log",
            Peer::Naive => "naive tokio",
            Peer::Direct => "direct",
        }
    }

    /// Whether the goals refer to this peer.
    pub(crate) fn counts(self) -> bool {
        match self {
            Peer::Haproxy | Peer::Nginx | Peer::Envoy | Peer::Hitch | Peer::Stunnel => true,
            Peer::Tlsramp | Peer::HaproxyLog | Peer::NginxLog | Peer::Naive | Peer::Direct => false,
        }
    }

    /// Whether this is a peer with a log of its connections. It is measured by connection only.
    pub(crate) fn logs(self) -> bool {
        matches!(self, Peer::HaproxyLog | Peer::NginxLog)
    }

    /// # Errors
    /// The program is not installed.
    pub(crate) fn program(self, tlsramp: &Path) -> Result<PathBuf, String> {
        let installed = |name: &str| require::command(name).map_err(|why| format!("{why}; --install"));
        match self {
            Peer::Tlsramp => Ok(tlsramp.to_owned()),
            Peer::Haproxy | Peer::HaproxyLog => installed("haproxy"),
            Peer::Nginx | Peer::NginxLog if Path::new(configs::NGINX_MODULE).exists() => installed("nginx"),
            Peer::Nginx | Peer::NginxLog => Err(format!("no {}; --install", configs::NGINX_MODULE)),
            Peer::Envoy => install::envoy(),
            Peer::Hitch => installed("hitch"),
            Peer::Stunnel => installed("stunnel4"),
            Peer::Naive => std::env::current_exe().map_err(|error| error.to_string()),
            Peer::Direct => Ok(tlsramp::program()),
        }
    }

    /// Starts the peer with its own server behind it. `tlsramp` is the tlsramp program to measure. stunnel starts a thread
    /// for each connection instead of `workers`.
    pub(crate) fn start(self, tlsramp: &Path, certs: &Certs, workers: u8) -> Result<Started, String> {
        let program = self.program(tlsramp)?;
        let folder = Scratch::new(self.key());
        let (server, upstream) = tlsramp::serve(None, folder.path())?;
        if self == Peer::Direct {
            let (by_tls, tls) = tlsramp::serve(Some(certs), folder.path())?;
            return Ok(Started {
                proxy: None,
                listening: Duration::ZERO,
                plain: Some(upstream),
                tls,
                _servers: vec![server, by_tls],
                _folder: folder,
            });
        }
        let began = Instant::now();
        let (proxy, plain, tls) = if self == Peer::Tlsramp {
            let workers = ["--workers", &workers.to_string()];
            let (proxy, places) = tlsramp::proxy(&program, certs, upstream, "preferSSL", &workers, folder.path())?;
            (proxy, Some(places.port), places.port)
        } else {
            let (tls, plain) = (ports::free()?, ports::free()?);
            let place = Place { tls, plain, upstream, certs, folder: folder.path(), workers };
            let (mut proxy, has_plain) = self.run(&program, &place)?;
            let plain = has_plain.then_some(plain);
            proxy.wait_for(&[Some(tls), plain].into_iter().flatten().collect::<Vec<_>>())?;
            (proxy, plain, tls)
        };
        Ok(Started {
            proxy: Some(proxy),
            listening: began.elapsed(),
            plain,
            tls,
            _servers: vec![server],
            _folder: folder,
        })
    }

    /// Starts the peer's program. Returns whether it has a port for plaintext.
    fn run(self, program: &Path, place: &Place<'_>) -> Result<(Running, bool), String> {
        let concurrency = place.workers.to_string();
        let (text, args, plain) = match self {
            Peer::Haproxy | Peer::HaproxyLog => (configs::haproxy(place, self.logs()), vec!["-db", "-f", CONFIG], true),
            Peer::Nginx | Peer::NginxLog => {
                (configs::nginx(place, self.logs()), vec!["-p", ".", "-e", "stderr", "-c", CONFIG], true)
            }
            Peer::Envoy => {
                let args = [&["--concurrency", &concurrency], &ENVOY_ARGS[..]].concat();
                (configs::envoy(place), args, true)
            }
            Peer::Hitch => (configs::hitch(place), vec!["--config", CONFIG], false),
            Peer::Stunnel => (configs::stunnel(place), vec![CONFIG], false),
            Peer::Naive => {
                let args = super::naive::NaiveArgs::args(place);
                return Ok((Running::start(self.key(), program, &args, place.folder)?, true));
            }
            Peer::Tlsramp | Peer::Direct => return Err("has no configuration file".to_owned()),
        };
        let config = place.folder.join(CONFIG);
        fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;
        // stunnel requires a path that contains a slash.
        let whole = |arg: &str| if arg == CONFIG { config.display().to_string() } else { arg.to_owned() };
        let args: Vec<String> = args.into_iter().map(whole).collect();
        Ok((Running::start(self.key(), program, &args, place.folder)?, plain))
    }
}

/// A proxy and the server behind it. Their processes end on drop.
#[derive(Debug)]
pub(crate) struct Started {
    /// Declared first, so that it ends before its server.
    proxy: Option<Running>,
    /// How long it took until its ports accepted connections.
    pub(crate) listening: Duration,
    pub(crate) plain: Option<u16>,
    pub(crate) tls: u16,
    _servers: Vec<Running>,
    /// Declared last, so that the folder is removed after the processes have ended.
    _folder: Scratch,
}

impl Started {
    /// The process ids whose cost is measured.
    pub(crate) fn processes(&self) -> Vec<i32> {
        self.proxy.as_ref().map(Running::family).unwrap_or_default()
    }
}

/// Workers of each proxy, unless it has one core.
pub(crate) const WORKERS: u8 = 2;

const CONFIG: &str = "config";
const ENVOY_ARGS: [&str; 5] = ["--disable-hot-restart", "--log-level", "warning", "-c", CONFIG];
