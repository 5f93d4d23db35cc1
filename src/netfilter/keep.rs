//! Implements `--keep`: applies the rules, and applies them again whenever they were removed or changed, for example by
//! a firewall's reload that clears all tables. Netlink reports changes; the server's addresses are read every few
//! seconds.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use rustix::fs::{FlockOperation, OFlags, fcntl_lock};
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use rustix::process::{
    Flock, FlockOffsetType, FlockType, Pid, PidfdFlags, Signal, fcntl_getlk, pidfd_open, pidfd_send_signal,
};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::addresses::Addresses;
use super::checks::{acknowledge, known, unreached, warnings};
use super::nft::{self, own_rules};
use super::report;
use super::rules::{is_ours, load, print_error, print_line, set, unchanged};
use super::script::script;
use super::settings::Sidecar;
use crate::limits::{NETFILTER_KEEP_END, NETFILTER_KEEP_LOOK, NETFILTER_KEEP_PAUSE};

/// Keeps the rules in force until SIGTERM or SIGINT. The rules stay in force afterwards.
///
/// # Errors
/// The first attempt to apply the rules failed, or another process keeps them.
pub(super) fn run(sidecar: &Sidecar) -> Result<(), String> {
    // The table is listed first, so that nft reports a missing privilege before opening a file or a socket fails.
    table(sidecar).map_err(|error| unchanged(&error))?;
    let _keeper = Keeper::take(&sidecar.table)?;
    acknowledge(sidecar)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| unchanged(&format!("cannot start the runtime: {error}")))?;
    runtime.block_on(keep(sidecar))
}

async fn keep(sidecar: &Sidecar) -> Result<(), String> {
    let failed = |error: io::Error| unchanged(&format!("cannot watch nftables for changes: {error}"));
    // The netlink socket is opened before the rules are applied, so that no change is missed.
    let mut changes = changes().map_err(failed)?;
    let [mut terminate, mut interrupt] =
        [signal(SignalKind::terminate()).map_err(failed)?, signal(SignalKind::interrupt()).map_err(failed)?];
    let server = server(sidecar)?;
    set(sidecar, &server)?;
    let mut kept = applied(sidecar, server, "")?;
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let mut failing = None;
    loop {
        let told = tokio::select! {
            biased;
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            Some(()) = changes.recv() => true,
            // If the netlink thread has ended, the table is listed at every timeout.
            () = tokio::time::sleep(NETFILTER_KEEP_LOOK) => changes.is_closed(),
        };
        match look(sidecar, &kept, told || failing.is_some()) {
            Ok(newer) => {
                kept = newer.unwrap_or(kept);
                failing = None;
            }
            Err(why) => {
                if failing.as_ref() != Some(&why) {
                    print_error(&format!("{why}; retrying every {} s", NETFILTER_KEEP_LOOK.as_secs()));
                }
                failing = Some(why);
            }
        }
        // The pause limits the load if two programs keep replacing each other's table.
        tokio::time::sleep(NETFILTER_KEEP_PAUSE).await;
    }
}

struct AppliedRules {
    server: Addresses,
    /// nft's listing of the table; `None` if the table was changed before it could be listed.
    listing: Option<String>,
}

/// Applies the rules again if the table or the server's addresses have changed. Lists the table only if
/// `may_have_changed` is set or its listing is unknown.
fn look(sidecar: &Sidecar, kept: &AppliedRules, may_have_changed: bool) -> Result<Option<AppliedRules>, String> {
    let server = server(sidecar)?;
    let in_force = if may_have_changed || kept.listing.is_none() { table(sidecar)? } else { kept.listing.clone() };
    let reason = match &in_force {
        None => "the table was removed",
        listing if *listing != kept.listing => "the table was changed",
        Some(_) if server != kept.server => "the server listens on other addresses",
        Some(_) => return Ok(None),
    };
    in_force.as_deref().map_or(Ok(()), |listing| is_ours(&sidecar.table, listing))?;
    // The script is loaded without `nft --check`: an equivalent script was checked before, and connections are not
    // intercepted until this one is loaded.
    load(&script(sidecar, &server))?;
    applied(sidecar, server, &format!("{reason}; ")).map(Some)
}

/// Prints the applied rules, and returns them with the table's listing.
fn applied(sidecar: &Sidecar, server: Addresses, reason: &str) -> Result<AppliedRules, String> {
    let listing = table(sidecar)?.filter(|listing| own_rules(listing) == own_rules(&script(sidecar, &server)));
    print_line(&format!("{reason}{}", report::applied(sidecar, &server)));
    for warning in warnings(sidecar, &server, &unreached(sidecar, &server)) {
        print_error(&format!("WARNING: {warning}"));
    }
    Ok(AppliedRules { server, listing })
}

fn table(sidecar: &Sidecar) -> Result<Option<String>, String> {
    nft::table(&sidecar.table).map_err(|error| error.to_string())
}

/// Returns the server's addresses. While the server does not listen, returns every address of the host, so that no
/// connection reaches the server directly when it starts.
fn server(sidecar: &Sidecar) -> Result<Addresses, String> {
    Ok(sidecar.inbound.as_ref().map(known).transpose()?.flatten().unwrap_or(Addresses::ALL))
}

/// Returns a channel that has a message after changes of nftables in this network namespace. Several changes may share
/// a message.
fn changes() -> io::Result<mpsc::Receiver<()>> {
    let netlink = Some(netlink::NETFILTER);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, netlink)?;
    bind(&socket, &SocketAddrNetlink::new(0, 1 << (NFNLGRP_NFTABLES - 1)))?;
    let (told, changes) = mpsc::channel(1);
    thread::Builder::new().name("nftables".into()).spawn(move || follow(&socket, &told))?;
    Ok(changes)
}

/// Reads the kernel's messages until the receiver is dropped.
fn follow(socket: &OwnedFd, told: &mpsc::Sender<()>) {
    loop {
        match recv(socket, &mut [0; 1], RecvFlags::TRUNC) {
            // Lost messages (ENOBUFS) count as changes.
            Ok(_) | Err(rustix::io::Errno::NOBUFS) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => {
                return print_error(&format!(
                    "can no longer watch nftables for changes: {error}; checking the table periodically"
                ));
            }
        }
        if let Err(TrySendError::Closed(())) = told.try_send(()) {
            return;
        }
    }
}

/// The lock held by the process that keeps a table. The kernel releases it when the process ends.
pub(super) struct Keeper {
    _file: File,
}

impl Keeper {
    /// Acquires the lock of a table.
    fn take(table: &str) -> Result<Keeper, String> {
        let path = lock_path(table)?;
        let failed = |error: io::Error| {
            unchanged(&format!("cannot take the lock {}: {error}; run this as root", path.display()))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(LOCKS).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(&path).map_err(failed)?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Keeper { _file: file }),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
                let other =
                    holder(&file).ok().flatten().map_or_else(|| "another".to_owned(), |other| other.to_string());
                Err(unchanged(&format!(
                    "process {other} already keeps the table inet {table}: end it with --remove, or give another \
                     --table"
                )))
            }
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Returns the process that keeps a table, if there is one.
    ///
    /// # Errors
    /// The lock file cannot be read.
    pub(super) fn of(table: &str) -> Result<Option<Pid>, String> {
        let path = lock_path(table)?;
        let failed =
            |error: io::Error| unchanged(&format!("cannot read {}: {error}; run this as root", path.display()));
        match File::open(&path) {
            Ok(file) => holder(&file).map_err(failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Terminates the process that keeps a table, and waits for it to exit.
///
/// # Errors
/// The process cannot be terminated, or does not exit in time.
pub(super) fn end(table: &str, keeper: Pid) -> Result<(), String> {
    let failed = |error: rustix::io::Errno| {
        unchanged(&format!("cannot end process {keeper}, which keeps the table: {error}; run this as root"))
    };
    let process = pidfd_open(keeper, PidfdFlags::empty()).map_err(failed)?;
    // The process number might have been reused before the pidfd was opened, so the lock's holder is read again.
    if Keeper::of(table)? == Some(keeper) {
        pidfd_send_signal(process, Signal::TERM).map_err(failed)?;
    }
    let deadline = Instant::now() + NETFILTER_KEEP_END;
    while Keeper::of(table)? == Some(keeper) {
        if Instant::now() > deadline {
            let limit = NETFILTER_KEEP_END.as_secs();
            return Err(unchanged(&format!(
                "process {keeper}, which keeps the table, did not end within {limit} s of SIGTERM; kill it (kill -KILL \
                 {keeper}) and try again"
            )));
        }
        thread::sleep(NETFILTER_KEEP_PAUSE);
    }
    Ok(())
}

fn holder(file: &File) -> io::Result<Option<Pid>> {
    let whole = Flock { start: 0, length: 0, pid: None, typ: FlockType::WriteLock, offset_type: FlockOffsetType::Set };
    Ok(fcntl_getlk(file, &whole)?.and_then(|lock| lock.pid))
}

/// Returns the path of a table's lock file. Its name includes the network namespace, because tables belong to a
/// namespace and several namespaces may share the folder.
fn lock_path(table: &str) -> Result<PathBuf, String> {
    let namespace = Path::new("/proc/self/ns/net").metadata();
    let namespace = namespace.map_err(|error| unchanged(&format!("/proc/self/ns/net: {error}")))?.ino();
    Ok(Path::new(LOCKS).join(format!("{table}.{namespace}.lock")))
}

/// The folder of the lock files: owned by root, and cleared when the host restarts.
const LOCKS: &str = "/run/tlsramp-netfilter";
/// The netlink multicast group of nftables, from linux/netfilter/nfnetlink.h.
const NFNLGRP_NFTABLES: u32 = 7;
