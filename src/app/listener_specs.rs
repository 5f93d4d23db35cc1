//! The TCP listeners that the options specify.

use std::io;
use std::net::SocketAddr;

use crate::config::Settings;

/// A TCP listener that an option specifies.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListenerSpec {
    /// One of [`ROLES`].
    pub(super) role: &'static str,
    pub(super) option: &'static str,
    /// Whether the listener is skipped on a host without IPv6.
    pub(super) optional: bool,
    pub(super) address: SocketAddr,
}

impl ListenerSpec {
    /// Returns whether the listener belongs to a route. Each worker then has a listening socket of its own.
    pub(super) fn is_route(&self) -> bool {
        [INBOUND, OUTBOUND].contains(&self.role)
    }
}

/// Returns every TCP listener that the options specify.
pub(super) fn listener_specs(settings: &Settings) -> Vec<ListenerSpec> {
    let listener = |role, option| move |address| ListenerSpec { role, option, optional: false, address };
    let inbound = settings.inbound.iter().flat_map(|inbound| inbound.binds.iter().copied());
    let transparent = settings.transparent_binds().map(listener(OUTBOUND, "--outboundTransparent"));
    let transparent = transparent.map(|spec| ListenerSpec { optional: spec.address.is_ipv6(), ..spec });
    let outbound = settings.outbound.iter().map(|outbound| outbound.listen);
    let admin = settings.admin.tcp_binds();
    let probes = settings.admin.probes.iter().copied();
    let inbound = inbound.map(listener(INBOUND, "--port, --bind_ip")).chain(transparent);
    let control = admin.map(listener(ADMIN, "--adminBind")).chain(probes.map(listener(PROBES, "--probeBind")));
    inbound.chain(outbound.map(listener(OUTBOUND, "--outbound"))).chain(control).collect()
}

/// Returns whether opening a listener failed because this host has no IPv6.
pub(super) fn lacks_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// The roles of listeners, which are also the names of sockets in socket units.
pub(super) const ROLES: [&str; 4] = [INBOUND, OUTBOUND, ADMIN, PROBES];
pub(super) const INBOUND: &str = "inbound";
pub(super) const OUTBOUND: &str = "outbound";
pub(super) const ADMIN: &str = "admin";
const PROBES: &str = "probes";
/// "Address family not supported" (errno(3)). The standard library has no `ErrorKind` for this error.
const EAFNOSUPPORT: i32 = 97;
