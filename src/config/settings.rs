//! The configuration once it is known to be right: typed, complete, and all that the rest of the program sees.
//!
//! Values of this type come from [`super::load`] alone, which makes none that has a mistake in it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use tracing::level_filters::LevelFilter;

use crate::limits::Timeouts;
use crate::net::{HostPort, Upstream};
use crate::policy::{Acceptance, Admission, Link, LinkRule, Mode, Opening, Permit, RefusalStyle, Spelling, judge};
use crate::tls::TlsFiles;

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The route in front of the server, if there is one.
    pub inbound: Option<Inbound>,
    /// The routes to other servers, at most [`crate::limits::MOST_OUTBOUND`].
    pub outbound: Vec<Outbound>,
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
    /// Threads that move data, at least 1.
    pub workers: usize,
    /// What a refused client gets.
    pub refusal: RefusalStyle,
    /// What is logged, and how.
    pub log: LogSettings,
    /// The file that was read; a relative path is against the working directory.
    pub file: Option<PathBuf>,
}

/// The inbound route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// Where to listen, at least one address, none twice. Port 0: the kernel chooses.
    pub binds: Vec<SocketAddr>,
    /// Where it leads.
    pub upstream: Upstream,
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
        let outbound = self.outbound.first().map(|_| (Acceptance::Outbound, LinkRule::Policy));
        inbound.chain(outbound).flat_map(move |(acceptance, rule)| {
            [Opening::Plaintext, Opening::Tls]
                .into_iter()
                .filter_map(move |opening| judge(mode, acceptance, rule, opening).ok())
        })
    }
}
