//! `--keep`: the rules are applied, and applied again whenever they are gone or changed, as by a firewall's reload that
//! clears all tables. nftables tells of every change; the server's addresses are looked at every few seconds.

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

use super::nft::{self, own_rules};
use super::report;
use super::run::{acknowledge, complain, is_ours, known, load, say, set, unchanged, unreached, warnings};
use super::script::script;
use super::settings::Sidecar;
use super::sockets::Addresses;
use crate::limits::{NETFILTER_KEEP_END, NETFILTER_KEEP_LOOK, NETFILTER_KEEP_PAUSE};

/// Keeps the rules in force until SIGTERM or SIGINT, which leave them in force.
///
/// # Errors
/// The rules could not be applied to begin with, or another process keeps them.
pub(super) fn run(sidecar: &Sidecar) -> Result<(), String> {
    // A privilege that is missing is told by nft, and not by a file or a socket.
    table(sidecar).map_err(|error| unchanged(&error))?;
    let _keeper = Keeper::take(&sidecar.table)?;
    acknowledge(sidecar)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| unchanged(&format!("the runtime cannot be started: {error}")))?;
    runtime.block_on(keep(sidecar))
}

async fn keep(sidecar: &Sidecar) -> Result<(), String> {
    let failed = |error: io::Error| unchanged(&format!("changes of nftables cannot be followed: {error}"));
    // Before the first look: a change in between is not missed.
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
            // Without a thread that tells, every look is at the table too.
            () = tokio::time::sleep(NETFILTER_KEEP_LOOK) => changes.is_closed(),
        };
        match look(sidecar, &kept, told || failing.is_some()) {
            Ok(newer) => {
                kept = newer.unwrap_or(kept);
                failing = None;
            }
            Err(why) => {
                if failing.as_ref() != Some(&why) {
                    complain(&format!("{why}; tried again every {} s", NETFILTER_KEEP_LOOK.as_secs()));
                }
                failing = Some(why);
            }
        }
        // Where two programs set each other's table aside, neither takes a whole processor.
        tokio::time::sleep(NETFILTER_KEEP_PAUSE).await;
    }
}

/// What is in force.
struct Kept {
    server: Addresses,
    /// As nft lists it; `None`: it was changed before it could be listed.
    listing: Option<String>,
}

/// Applies the rules again if they are not what they should be. The table is only listed if it may have changed.
fn look(sidecar: &Sidecar, kept: &Kept, may_have_changed: bool) -> Result<Option<Kept>, String> {
    let server = server(sidecar)?;
    let in_force = if may_have_changed || kept.listing.is_none() { table(sidecar)? } else { kept.listing.clone() };
    let reason = match &in_force {
        None => "the table was gone",
        listing if *listing != kept.listing => "the table was changed",
        Some(_) if server != kept.server => "the server listens on other addresses",
        Some(_) => return Ok(None),
    };
    in_force.as_deref().map_or(Ok(()), |listing| is_ours(&sidecar.table, listing))?;
    // Such a script was checked when it was loaded first: now every moment counts.
    load(&script(sidecar, &server))?;
    applied(sidecar, server, &format!("{reason}; ")).map(Some)
}

/// Says what was applied, and takes down what is in force now.
fn applied(sidecar: &Sidecar, server: Addresses, reason: &str) -> Result<Kept, String> {
    let listing = table(sidecar)?.filter(|listing| own_rules(listing) == own_rules(&script(sidecar, &server)));
    say(&format!("{reason}{}", report::applied(sidecar, &server)));
    for warning in warnings(sidecar, &server, &unreached(sidecar, &server)) {
        complain(&format!("WARNING: {warning}"));
    }
    Ok(Kept { server, listing })
}

fn table(sidecar: &Sidecar) -> Result<Option<String>, String> {
    nft::table(&sidecar.table).map_err(|error| error.to_string())
}

/// Where the server listens; while it does not, every address of the host, so that no connection reaches it when it starts.
fn server(sidecar: &Sidecar) -> Result<Addresses, String> {
    Ok(sidecar.inbound.as_ref().map(known).transpose()?.flatten().unwrap_or(Addresses::ALL))
}

/// A channel that has something in it after each change of nftables in this network namespace. What changed is asked of
/// nft.
fn changes() -> io::Result<mpsc::Receiver<()>> {
    let netlink = Some(netlink::NETFILTER);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, netlink)?;
    bind(&socket, &SocketAddrNetlink::new(0, 1 << (NFNLGRP_NFTABLES - 1)))?;
    let (told, changes) = mpsc::channel(1);
    thread::Builder::new().name("nftables".into()).spawn(move || follow(&socket, &told))?;
    Ok(changes)
}

/// Reads the messages of the kernel until there is nobody to tell.
fn follow(socket: &OwnedFd, told: &mpsc::Sender<()>) {
    loop {
        match recv(socket, &mut [0; 1], RecvFlags::TRUNC) {
            // More messages than the socket holds (ENOBUFS) are changes too.
            Ok(_) | Err(rustix::io::Errno::NOBUFS) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return complain(&format!("changes of nftables are not told any more: {error}")),
        }
        if let Err(TrySendError::Closed(())) = told.try_send(()) {
            return;
        }
    }
}

/// The lock by which one process keeps a table, and others know it. It ends with the process.
pub(super) struct Keeper {
    _file: File,
}

impl Keeper {
    /// Takes the lock of a table.
    fn take(table: &str) -> Result<Keeper, String> {
        let path = lock_path(table)?;
        let failed = |error: io::Error| unchanged(&format!("the lock {} cannot be taken: {error}", path.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(LOCKS).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(&path).map_err(failed)?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Keeper { _file: file }),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
                let other =
                    holder(&file).ok().flatten().map_or_else(|| "another".to_owned(), |other| other.to_string());
                Err(unchanged(&format!("process {other} keeps the table inet {table} already: end it with --remove")))
            }
            Err(error) => Err(failed(error.into())),
        }
    }

    /// The process that keeps a table.
    ///
    /// # Errors
    /// That could not be found out.
    pub(super) fn of(table: &str) -> Result<Option<Pid>, String> {
        let path = lock_path(table)?;
        let failed =
            |error: io::Error| unchanged(&format!("{} cannot be read: {error}; run this as root", path.display()));
        match File::open(&path) {
            Ok(file) => holder(&file).map_err(failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Ends the process that keeps a table, and waits until it has.
///
/// # Errors
/// It cannot be ended, or does not.
pub(super) fn end(table: &str, keeper: Pid) -> Result<(), String> {
    let failed = |error: rustix::io::Errno| {
        unchanged(&format!("process {keeper}, which keeps the table, cannot be ended: {error}"))
    };
    let process = pidfd_open(keeper, PidfdFlags::empty()).map_err(failed)?;
    // The number might have become another process's before it was opened.
    if Keeper::of(table)? == Some(keeper) {
        pidfd_send_signal(process, Signal::TERM).map_err(failed)?;
    }
    let deadline = Instant::now() + NETFILTER_KEEP_END;
    while Keeper::of(table)? == Some(keeper) {
        if Instant::now() > deadline {
            let limit = NETFILTER_KEEP_END.as_secs();
            return Err(unchanged(&format!(
                "process {keeper}, which keeps the table, does not end within {limit} s of SIGTERM"
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

/// A table is one of its network namespace; the folder may be seen from several.
fn lock_path(table: &str) -> Result<PathBuf, String> {
    let namespace = Path::new("/proc/self/ns/net").metadata();
    let namespace = namespace.map_err(|error| unchanged(&format!("/proc/self/ns/net: {error}")))?.ino();
    Ok(Path::new(LOCKS).join(format!("{table}.{namespace}.lock")))
}

/// Root's, and gone with the host's restart.
const LOCKS: &str = "/run/tlsramp-netfilter";
/// The group of nftables' messages in linux/netfilter/nfnetlink.h.
const NFNLGRP_NFTABLES: u32 = 7;
