//! The configuration once it is known to be right: typed, complete, and all that the rest of the program sees.
//!
//! Values of this type come from [`super::load`] alone, which makes none that has a mistake in it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::pattern::Pattern;
use crate::limits::Timeouts;
use crate::net::{HostPort, UpstreamAddress};
use crate::policy::{Acceptance, Admission, Link, LinkRule, Mode, Opening, Permit, RefusalStyle, Spelling, judge};
use crate::tls::TlsFiles;

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The route in front of the server, if there is one.
    pub inbound: Option<Inbound>,
    /// The routes to other servers, at most [`crate::limits::MOST_OUTBOUND`].
    pub outbound: Vec<Outbound>,
    /// The port of the route for connections that the kernel has redirected, on both loopback addresses. 0: the kernel
    /// chooses.
    pub transparent: Option<u16>,
    /// Members of the set that the operator has named, at most [`crate::limits::MOST_MEMBERS`].
    pub members: Vec<Member>,
    /// The policy to start with.
    pub mode: Mode,
    /// The spelling that the operator uses.
    pub spelling: Spelling,
    /// The TLS options.
    pub tls: TlsFiles,
    /// The waits.
    pub timeouts: Timeouts,
    /// Most inbound connections at a time; `None`: by the descriptor limit.
    pub max_incoming: Option<usize>,
    /// Most inbound connections of one address that is not a member's; `None`: no such limit.
    pub max_per_ip: Option<usize>,
    /// How many of those are kept for members.
    pub member_reserve: usize,
    /// Threads that move data, at least 1.
    pub workers: usize,
    /// What a refused client gets.
    pub refusal: RefusalStyle,
    /// What is logged, and how.
    pub log: LogSettings,
    /// The control plane.
    pub admin: Admin,
    /// The file that was read; a relative path is against the working directory.
    pub file: Option<PathBuf>,
}

/// The inbound route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// Where to listen, at least one address, none twice. Port 0: the kernel chooses.
    pub binds: Vec<SocketAddr>,
    /// Whether the listening sockets have `IP_TRANSPARENT`: the kernel hands over connections to other addresses.
    pub transparent: bool,
    /// Where it leads.
    pub upstream: UpstreamAddress,
    /// How the link to the upstream is chosen.
    pub link: LinkRule,
    /// What becomes of TLS: never [`Acceptance::Outbound`].
    pub acceptance: Acceptance,
    /// Source address of the link, of the upstream's family where that is known.
    pub source: Option<IpAddr>,
}

/// An outbound route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outbound {
    /// Where to listen: loopback. Port 0: the kernel chooses.
    pub listen: SocketAddr,
    /// Where it leads.
    pub target: HostPort,
    /// The name, or IP address, that the target's certificate must bear.
    pub name: String,
}

/// A member of the set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its name in the set's configuration.
    pub name: HostPort,
    /// Its address, where the name does not resolve to it from here.
    pub address: Option<IpAddr>,
}

/// How the proxy is controlled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where the admin port listens, at most [`crate::limits::MOST_ADMIN_BINDS`]. Port 0: the kernel chooses.
    pub binds: Vec<AdminBind>,
    /// Who may come by TLS; never empty where an address is not loopback.
    pub allow: Vec<Pattern>,
    /// No changes by TCP.
    pub read_only: bool,
    /// More names that HTTP requests may be for, in lower case, without a port.
    pub hosts: Vec<String>,
    /// Where the probes of kubelet and Prometheus are answered, in plaintext.
    pub probes: Vec<SocketAddr>,
    /// How long a plaintext client that has left still counts; zero: not at all.
    pub guard_window: Duration,
    /// What outlives a restart.
    pub state_file: Option<PathBuf>,
    /// Which files are watched.
    pub watch: WatchScope,
    /// Whether the servers behind are asked for a `hello` every ten seconds.
    pub probe_upstreams: bool,
}

/// One address of the admin port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminBind {
    /// TCP: plaintext on loopback, TLS with client certificates elsewhere.
    Tcp(SocketAddr),
    /// A Unix socket, of mode 0600.
    Unix(PathBuf),
}

/// The files that are read again when they change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchScope {
    /// Those of TLS.
    Certs,
    /// Those, and the configuration file.
    All,
    /// None.
    Off,
}

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// For people or for programs.
    pub format: LogFormat,
    /// The least level logged.
    pub level: LogLevel,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// The least level logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What needs a hand.
    Error,
    /// What may come to need one.
    Warn,
    /// One line per connection.
    Info,
    /// Probes, and what connections do.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level as the log's filter takes it.
    #[must_use]
    pub const fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        }
    }
}

impl Settings {
    /// Whether any route makes TLS links in a mode: by the judge's own rules, for any opening it would admit.
    #[must_use]
    pub fn links_by_tls(&self, mode: Mode) -> bool {
        self.permits(mode).any(|permit| permit.link() == Link::Tls)
    }

    /// Whether any route ends TLS here in a mode, which takes a certificate of ours.
    #[must_use]
    pub fn needs_certificate(&self, mode: Mode) -> bool {
        self.permits(mode).any(|permit| permit.admission() == Admission::Terminated)
    }

    fn permits(&self, mode: Mode) -> impl Iterator<Item = Permit> {
        let inbound = self.inbound.iter().map(|inbound| (inbound.acceptance, inbound.link));
        let any_outbound = !self.outbound.is_empty() || self.transparent.is_some();
        let outbound = any_outbound.then_some((Acceptance::Outbound, LinkRule::Policy));
        inbound.chain(outbound).flat_map(move |(acceptance, rule)| {
            [Opening::Plaintext, Opening::Tls]
                .into_iter()
                .filter_map(move |opening| judge(mode, acceptance, rule, opening).ok())
        })
    }
}
