//! Checks whether the inbound listeners can be made transparent (`IP_TRANSPARENT`).

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::config::{Mistake, Settings};
use crate::net::{Inherited, is_transparent, try_transparent};

/// Returns a mistake for each inbound address whose sockets are not transparent and cannot be made transparent. The
/// sockets are not changed.
pub(super) fn cannot_be_transparent(settings: &Settings, inherited: &Inherited) -> Vec<Mistake> {
    let transparent = settings.inbound.iter().filter(|inbound| inbound.transparent);
    let binds = transparent.flat_map(|inbound| &inbound.binds);
    let passed =
        |address| inherited.listener(address).is_some_and(|listener| is_transparent(listener).unwrap_or(false));
    let done = |address| inherited.is_kept(address) || passed(address);
    let open = binds.filter(|address| !done(**address));
    open.filter_map(|address| Some(not_transparent(*address, &try_transparent(address.ip()).err()?))).collect()
}

/// Returns the mistake for a listener that cannot be made transparent.
pub(super) fn not_transparent(address: SocketAddr, error: &io::Error) -> Mistake {
    let problem = format!("cannot make the listening socket transparent ({}): {error}", option_of(address.ip()));
    Mistake::of("--inboundTransparent", &address.to_string(), problem, REMEDY)
}

const fn option_of(ip: IpAddr) -> &'static str {
    match ip {
        IpAddr::V4(_) => "IP_TRANSPARENT",
        IpAddr::V6(_) => "IPV6_TRANSPARENT",
    }
}

const REMEDY: &str = "grant CAP_NET_RAW (AmbientCapabilities=CAP_NET_RAW in the service unit, or setcap cap_net_raw+ep on \
    the binary); or let a socket unit with Transparent=yes pass on the socket, which needs no capability";
