//! A transparent inbound route needs a capability to open its listeners. They are opened first, and then all capabilities
//! are dropped.
//!
//! Capabilities belong to threads: a thread starts with those of the thread that starts it, and can take none from
//! another. So this happens while the process has one thread, before the log's, the workers' and the runtimes'.

use std::io;
use std::net::{IpAddr, SocketAddr};

use clap::ArgMatches;
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::listeners::lacks_ipv6;
use super::prepare::{InUse, prepare};
use super::unexpected_sockets::{INBOUND, Wanted, wanted};
use crate::config::{self, Loaded, Mistake, Settings};
use crate::net::{Inherited, is_transparent, make_transparent, try_transparent};

/// Why a process does not give up its capabilities.
#[derive(Debug, thiserror::Error)]
pub(super) enum CapabilityError {
    /// Listeners that cannot be opened, or files that a rotation or reload could not read any more.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<Mistake>),
    /// The kernel refuses to drop them.
    #[error("cannot drop the capabilities, which --inboundTransparent needs only to start: {0}")]
    Drop(#[from] io::Error),
}

/// If the inbound route is transparent: opens its listeners, and those on privileged ports, then drops every capability.
/// Otherwise nothing is done. To be called while the process has one thread.
///
/// # Errors
/// [`CapabilityError`], with every mistake that a start would end with; the process is to end then.
pub(super) fn open_and_drop(
    arguments: &ArgMatches,
    loaded: &Loaded,
    inherited: &mut Inherited,
) -> Result<(), CapabilityError> {
    let settings = &loaded.settings;
    if !settings.inbound.as_ref().is_some_and(|inbound| inbound.transparent) {
        return Ok(());
    }
    prepare(loaded, inherited, InUse::Mistake).map_err(CapabilityError::Mistakes)?;
    let mut mistakes = Vec::new();
    for wanted @ Wanted { role, option, optional, address } in wanted(settings) {
        // The others are opened where they always are.
        if role != INBOUND && !is_privileged(address.port()) {
            continue;
        }
        let workers = if wanted.is_route() { settings.workers } else { 1 };
        match inherited.listen(address, workers) {
            Ok(listeners) => {
                if role == INBOUND {
                    let refused = listeners.iter().find_map(|listener| make_transparent(listener).err());
                    mistakes.extend(refused.map(|error| not_transparent(address, &error)));
                }
                inherited.keep(address, listeners);
            }
            Err(error) if optional && lacks_ipv6(&error) => {}
            Err(error) => mistakes.push(Mistake::cannot_listen(option, &address.to_string(), &error)),
        }
    }
    if !mistakes.is_empty() {
        return Err(CapabilityError::Mistakes(mistakes));
    }
    drop_all()?;
    config::read_again(arguments, loaded).map_err(CapabilityError::Mistakes)
}

/// What a check can tell only without capabilities, if the inbound route is transparent: drops them, and reads the files
/// once more. Otherwise nothing is done. To be called while the process has one thread.
///
/// # Errors
/// [`CapabilityError`].
pub(super) fn drop_and_read(arguments: &ArgMatches, loaded: &Loaded) -> Result<(), CapabilityError> {
    if !loaded.settings.inbound.as_ref().is_some_and(|inbound| inbound.transparent) {
        return Ok(());
    }
    drop_all()?;
    config::read_again(arguments, loaded).map_err(CapabilityError::Mistakes)
}

/// A mistake for each inbound address whose sockets are not transparent and could not be made so. Changes nothing.
pub(super) fn cannot_be_transparent(settings: &Settings, inherited: &Inherited) -> Vec<Mistake> {
    let transparent = settings.inbound.iter().filter(|inbound| inbound.transparent);
    let binds = transparent.flat_map(|inbound| &inbound.binds);
    let passed =
        |address| inherited.listener(address).is_some_and(|listener| is_transparent(listener).unwrap_or(false));
    let done = |address| inherited.is_kept(address) || passed(address);
    let open = binds.filter(|address| !done(**address));
    open.filter_map(|address| Some(not_transparent(*address, &try_transparent(address.ip()).err()?))).collect()
}

/// A listener that cannot be made transparent.
pub(super) fn not_transparent(address: SocketAddr, error: &io::Error) -> Mistake {
    let problem =
        format!("cannot make the socket that listens there transparent ({}): {error}", option_of(address.ip()));
    Mistake::of("--inboundTransparent", &address.to_string(), problem, REMEDY)
}

const fn option_of(ip: IpAddr) -> &'static str {
    match ip {
        IpAddr::V4(_) => "IP_TRANSPARENT",
        IpAddr::V6(_) => "IPV6_TRANSPARENT",
    }
}

/// Empties the thread's permitted, effective, inheritable and ambient sets, and the bounding set where the process may
/// (`CAP_SETPCAP`). Where it may not, no program that it starts gains any either: `no_new_privs` is set first.
fn drop_all() -> io::Result<()> {
    set_no_new_privs(true)?;
    match clear_ambient_capability_set() {
        // Kernels before 4.3 have none.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    for number in 0..CapabilitySet::all().bits().count_ones() {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match capability_is_in_bounding_set(capability) {
            Ok(true) => match remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                Err(Errno::PERM) => break,
                Err(error) => return Err(error.into()),
            },
            Ok(false) => {}
            // The kernel has no more of them.
            Err(_) => break,
        }
    }
    let none = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}

const fn is_privileged(port: u16) -> bool {
    port != 0 && port < FIRST_UNPRIVILEGED
}

/// `net.ipv4.ip_unprivileged_port_start`, unless it was changed.
const FIRST_UNPRIVILEGED: u16 = 1024;
const REMEDY: &str = "grant CAP_NET_RAW (AmbientCapabilities=CAP_NET_RAW in the service unit, or setcap cap_net_raw+ep on \
    the binary); or let a socket unit with Transparent=yes pass on the socket, which needs no capability";
