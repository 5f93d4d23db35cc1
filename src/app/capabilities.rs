//! Drops all capabilities once the listeners of a transparent inbound route are open. Opening them requires a
//! capability, CAP_NET_RAW. The service unit always grants it, so it is also dropped if no inbound route is
//! transparent.
//!
//! Capabilities belong to threads, and a new thread inherits its parent's capabilities. So they are dropped while the
//! process has one thread, before the threads of the log, the workers and the runtimes start.

use std::io;

use clap::ArgMatches;
use rustix::io::Errno;
use rustix::process::geteuid;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::listener_specs::{INBOUND, ListenerSpec, lacks_ipv6, listener_specs};
use super::prepare::{InUse, prepare};
use super::transparency::not_transparent;
use crate::config::{self, Loaded, Mistake};
use crate::net::{Inherited, make_transparent};

/// Why the capabilities could not be dropped, or why the process cannot run without them.
#[derive(Debug, thiserror::Error)]
pub(super) enum CapabilityError {
    /// Listeners cannot be opened, or a later rotation or reload could not read its files.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<Mistake>),
    /// The kernel refuses to drop the capabilities.
    #[error(
        "cannot drop the capabilities that --inboundTransparent needs at the start only: {0}; allow the system call \
         capset (SystemCallFilter= of the service unit)"
    )]
    Drop(#[from] io::Error),
}

/// If the inbound route is transparent, opens its listeners and the listeners on privileged ports, then drops every
/// capability. Otherwise drops only `CAP_NET_RAW`, unless root runs the process. Must be called while the process has
/// one thread.
///
/// # Errors
/// [`CapabilityError`]. The process must then exit.
pub(super) fn open_and_drop(
    arguments: &ArgMatches,
    loaded: &Loaded,
    inherited: &mut Inherited,
) -> Result<(), CapabilityError> {
    let settings = &loaded.settings;
    if !settings.is_inbound_transparent() {
        drop_net_raw();
        return Ok(());
    }
    prepare(loaded, inherited, InUse::Mistake).map_err(CapabilityError::Mistakes)?;
    let mut mistakes = Vec::new();
    for spec @ ListenerSpec { role, option, optional, address } in listener_specs(settings) {
        // The other listeners are opened later, as they are without a transparent route.
        if role != INBOUND && !is_privileged(address.port()) {
            continue;
        }
        let workers = if spec.is_route() { settings.workers } else { 1 };
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

/// Used by `check`: if the inbound route is transparent, drops all capabilities and reads the files again. Otherwise
/// does nothing. Must be called while the process has one thread.
///
/// # Errors
/// [`CapabilityError`].
pub(super) fn drop_and_read(arguments: &ArgMatches, loaded: &Loaded) -> Result<(), CapabilityError> {
    if !loaded.settings.is_inbound_transparent() {
        return Ok(());
    }
    drop_all()?;
    config::read_again(arguments, loaded).map_err(CapabilityError::Mistakes)
}

/// Clears the thread's permitted, effective, inheritable and ambient sets, and the bounding set if the process has
/// `CAP_SETPCAP`. Even without that capability, programs that the process starts gain no capabilities, because
/// `no_new_privs` is set first.
fn drop_all() -> io::Result<()> {
    set_no_new_privs(true)?;
    match clear_ambient_capability_set() {
        // Kernels before 4.3 have no ambient set.
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
            // The kernel does not have this capability, so the previous one was the last.
            Err(_) => break,
        }
    }
    let none = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}

/// A refusal by the kernel or a sandbox is no error, because the process does not use the capability. The kernel
/// removes it from the ambient set too.
fn drop_net_raw() {
    if geteuid().is_root() {
        return;
    }
    if let Ok(CapabilitySets { mut effective, mut permitted, mut inheritable }) = capabilities(None) {
        for set in [&mut effective, &mut permitted, &mut inheritable] {
            set.remove(CapabilitySet::NET_RAW);
        }
        let _ = set_capabilities(None, CapabilitySets { effective, permitted, inheritable });
    }
}

const fn is_privileged(port: u16) -> bool {
    port != 0 && port < FIRST_UNPRIVILEGED
}

/// The default of `net.ipv4.ip_unprivileged_port_start`.
const FIRST_UNPRIVILEGED: u16 = 1024;
