//! The validated configuration. Only [`super::load`] and [`super::reload`] make values of this type.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::pattern::Pattern;
use crate::limits::Timeouts;
use crate::net::{HostPort, TRANSPARENT_IPS, UpstreamAddress};
use crate::policy::{Acceptance, Admission, Link, LinkRule, Mode, Opening, Permit, RefusalStyle, Spelling, judge};
use crate::tls::TlsFiles;

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub inbound: Option<InboundSettings>,
    /// The `--outbound` routes, at most [`crate::limits::MOST_OUTBOUND`].
    pub outbound: Vec<OutboundSettings>,
    /// The port of the transparent outbound route, on both loopback addresses; 0: the kernel chooses one. `None`: there
    /// is no such route.
    pub transparent: Option<u16>,
    /// The `--member` options, at most [`crate::limits::MOST_MEMBERS`].
    pub members: Vec<MemberSettings>,
    /// The mode that flags and file name: the policy at start.
    pub mode: Mode,
    /// The spelling of option and mode names that the operator uses.
    pub spelling: Spelling,
    pub tls: TlsFiles,
    pub timeouts: Timeouts,
    /// Maximum number of inbound connections; `None`: derived from the descriptor limit.
    pub max_incoming: Option<usize>,
    /// Maximum number of inbound connections from one address, members exempt; `None`: no limit.
    pub max_per_ip: Option<usize>,
    /// Inbound connections reserved for members.
    pub member_reserve: usize,
    /// Number of data plane threads, at least 1.
    pub workers: usize,
    pub refusal: RefusalStyle,
    pub log: LogSettings,
    pub admin: Admin,
    /// The configuration file; a relative path is relative to the working directory.
    pub file: Option<PathBuf>,
}

/// The inbound route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundSettings {
    /// Listening addresses, at least one, without duplicates. With port 0, the kernel chooses a port.
    pub binds: Vec<SocketAddr>,
    /// Whether the listening sockets have `IP_TRANSPARENT`, to accept connections that TPROXY hands over.
    pub transparent: bool,
    pub upstream: UpstreamAddress,
    pub link: LinkRule,
    /// Never [`Acceptance::Outbound`].
    pub acceptance: Acceptance,
    /// Source address of the link, in the upstream's address family if that is known.
    pub source: Option<IpAddr>,
}

/// An outbound route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OutboundSettings {
    /// Loopback address to listen on. With port 0, the kernel chooses a port.
    pub listen: SocketAddr,
    pub target: HostPort,
    /// The DNS name or IP address for which the target's certificate must be valid.
    pub name: String,
}

/// A member of the set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemberSettings {
    /// The member's name in the set's configuration.
    pub name: HostPort,
    /// The member's address, if the name does not resolve to it on this host.
    pub address: Option<IpAddr>,
}

/// The settings of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Addresses of the admin port, at most [`crate::limits::MOST_ADMIN_BINDS`]. With port 0, the kernel chooses a
    /// port.
    pub binds: Vec<AdminBind>,
    /// Patterns of the client certificates that may use the admin port over TLS; never empty if `binds` has an address
    /// other than loopback.
    pub allow: Vec<Pattern>,
    /// Whether changes over TCP are refused.
    pub read_only: bool,
    /// Additional names that are accepted in the `Host` header, in lower case, without a port.
    pub hosts: Vec<String>,
    /// URLs of other nodes' pages.
    pub links: Vec<String>,
    /// Addresses that serve health probes and metrics in plaintext.
    pub probes: Vec<SocketAddr>,
    /// How long a plaintext client blocks a change after it has disconnected. Zero: only open connections block.
    pub guard_window: Duration,
    pub state_file: Option<PathBuf>,
    /// The Unix socket by which a new process replaces this one.
    pub takeover: Option<PathBuf>,
    pub watch: WatchScope,
    /// Whether `hello` is sent to each upstream every ten seconds.
    pub probe_upstreams: bool,
}

/// One address of the admin port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminBind {
    /// TCP: plaintext on loopback, TLS with client certificates on other addresses.
    Tcp(SocketAddr),
    /// A Unix socket with mode 0600.
    Unix(PathBuf),
}

/// The files that are read again when they change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchScope {
    Certs,
    /// The TLS files and the configuration file.
    All,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    pub format: LogFormat,
    pub level: LevelFilter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    /// One JSON object per line.
    Json,
}

impl Admin {
    pub fn tcp_binds(&self) -> impl Iterator<Item = SocketAddr> {
        self.binds.iter().filter_map(|bind| match bind {
            AdminBind::Tcp(address) => Some(*address),
            AdminBind::Unix(_) => None,
        })
    }

    pub fn unix_binds(&self) -> impl Iterator<Item = &Path> {
        self.binds.iter().filter_map(|bind| match bind {
            AdminBind::Tcp(_) => None,
            AdminBind::Unix(path) => Some(path.as_path()),
        })
    }
}

impl Settings {
    /// Whether the inbound listeners have `IP_TRANSPARENT`.
    pub fn is_inbound_transparent(&self) -> bool {
        self.inbound.as_ref().is_some_and(|inbound| inbound.transparent)
    }

    /// The addresses of the transparent outbound route.
    pub fn transparent_binds(&self) -> impl Iterator<Item = SocketAddr> {
        self.transparent.into_iter().flat_map(|port| TRANSPARENT_IPS.map(|ip| SocketAddr::new(ip, port)))
    }

    /// Whether any route makes TLS links in a mode. [`judge`] is asked for each route, once for a plaintext client and
    /// once for a TLS client.
    pub fn links_by_tls(&self, mode: Mode) -> bool {
        self.permits(mode).any(|permit| permit.link() == Link::Tls)
    }

    /// Whether any route terminates TLS in a mode, which requires a certificate.
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
