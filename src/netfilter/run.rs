//! What each verb does, and the exit code.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;

use super::keep::{self, Keeper};
use super::nft::{self, ToolError, find, run as tool};
use super::script::{redirected, remainder, removal, script};
use super::settings::{Asked, Inbound, Intercept, Sidecar};
use super::sockets::{self, Addresses, Lack, Unreached, older};
use super::{mentions, report};
use crate::files;
use crate::net::{canary, listening};

/// Prints, applies, keeps, shows or removes. 0: done; 1: refused or failed, and nothing was changed; 2: usage.
#[must_use]
pub fn run(arguments: &ArgMatches) -> ExitCode {
    let asked = match Asked::of(arguments) {
        Ok(asked) => asked,
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| complain(mistake));
            return ExitCode::from(USAGE);
        }
    };
    let done = match &asked {
        Asked::Print(sidecar) => printed(sidecar),
        Asked::Apply(sidecar) => apply(sidecar),
        Asked::Keep(sidecar) => keep::run(sidecar).map(|()| String::new()),
        Asked::Show(table) => show(table),
        Asked::Remove(table) => remove(table),
    };
    match done {
        Ok(said) => ExitCode::from(print(&said)),
        Err(why) => {
            complain(&why);
            ExitCode::from(NO)
        }
    }
}

/// The script, also on a host whose server does not listen yet.
fn printed(sidecar: &Sidecar) -> Result<String, String> {
    let known = sidecar.inbound.as_ref().map(known).transpose()?.flatten();
    if let (None, Some(inbound)) = (&known, &sidecar.inbound) {
        let port = inbound.server_port;
        complain(&format!("nothing listens on port {port} now: these rules are for every address of the host"));
    }
    Ok(script(sidecar, &known.unwrap_or(Addresses::ALL)))
}

fn apply(sidecar: &Sidecar) -> Result<String, String> {
    if let Some(keeper) = Keeper::of(&sidecar.table)? {
        return Err(unchanged(&format!(
            "process {keeper} keeps the table inet {} (--keep): change its command line and restart it, or end it with \
             --remove",
            sidecar.table
        )));
    }
    let server = server(sidecar)?;
    let unreached = unreached(sidecar, &server);
    if let Some(one) = unreached.iter().find(|one| one.lack == Lack::Transparency) {
        return Err(unchanged(&report::unreached(*one, sidecar)));
    }
    acknowledge(sidecar)?;
    set(sidecar, &server)?;
    let mut text = report::applied(sidecar, &server);
    text.push_str(
        "  the rules are gone after a restart of the host and after a firewall's reload; --keep sets them again\n",
    );
    for warning in warnings(sidecar, &server, &unreached) {
        text.push_str(&format!("  WARNING: {warning}\n"));
    }
    if unreached.is_empty() && !canary_answers(sidecar.canary_to) {
        text.push_str(&format!(
            "  WARNING: a connection of this host that is redirected to port {} does not get through: a rule of the host drops \
             it\n",
            sidecar.canary_to
        ));
    }
    let peers = older(sidecar).map_err(|error| error.to_string());
    text.push_str(&report::older(sidecar, peers.as_deref().map_err(Clone::clone)));
    Ok(text)
}

/// The ports of tlsramp's where connections would not arrive now.
pub(super) fn unreached(sidecar: &Sidecar, server: &Addresses) -> Vec<Unreached> {
    sockets::unreached(&listening().unwrap_or_default(), sidecar, server)
}

/// Warnings about connections that would not arrive at tlsramp, and about those that would not be intercepted.
pub(super) fn warnings(sidecar: &Sidecar, server: &Addresses, unreached: &[Unreached]) -> Vec<String> {
    let mut warnings: Vec<String> = unreached.iter().map(|one| report::unreached(*one, sidecar)).collect();
    if let Some(inbound) = sidecar.inbound.as_ref().filter(|inbound| !inbound.server_addresses.is_empty())
        && let Ok(Some(found)) = sockets::server(inbound.server_port)
        && !server.covers(&found)
    {
        warnings.push(report::uncovered(&found, inbound));
    }
    warnings
}

/// Sets the table, after a trial.
///
/// # Errors
/// The table is somebody else's, or nft refuses.
pub(super) fn set(sidecar: &Sidecar, server: &Addresses) -> Result<(), String> {
    if let Some(listing) = nft::table(&sidecar.table).map_err(|error| unchanged(&error))? {
        is_ours(&sidecar.table, &listing)?;
    }
    let script = script(sidecar, server);
    tool("nft", &["--check", "-f", "-"], &script).map_err(|error| unchanged(&refused(error, sidecar)))?;
    load(&script)
}

/// Loads a script in one transaction: the kernel takes all of it, or nothing.
pub(super) fn load(script: &str) -> Result<(), String> {
    tool("nft", &["-f", "-"], script).map(drop).map_err(|error| unchanged(&error))
}

/// What may be behind a script that nft refuses.
fn refused(error: ToolError, sidecar: &Sidecar) -> String {
    let tproxy = sidecar.inbound.as_ref().is_some_and(|inbound| inbound.intercept != Intercept::Redirect);
    if tproxy && matches!(error, ToolError::Failed { unprivileged: false, .. }) {
        format!("{error}; this nft or this kernel may be too old for TPROXY: give --redirect")
    } else {
        error.to_string()
    }
}

fn show(table: &str) -> Result<String, String> {
    let listing = nft::table(table).map_err(|error| error.to_string())?;
    let mut text = listing.ok_or_else(|| format!("there is no table inet {table}"))?;
    if let Some(line) = nft::foreign(&text) {
        return Err(format!("the table inet {table} is not tlsramp's: it holds `{}`", crate::text::printable(line)));
    }
    if let Some(keeper) = Keeper::of(table)? {
        text.push_str(&format!("# kept by process {keeper}\n"));
    }
    Ok(text)
}

fn remove(table: &str) -> Result<String, String> {
    let listed = || -> Result<Option<String>, String> {
        let listing = nft::table(table).map_err(|error| unchanged(&error))?;
        listing.as_deref().map_or(Ok(()), |listing| is_ours(table, listing)).map(|()| listing)
    };
    let mut listing = listed()?;
    let mut text = String::new();
    if let Some(keeper) = Keeper::of(table)? {
        keep::end(table, keeper)?;
        text.push_str(&format!("ended: process {keeper}, which kept the table\n"));
        listing = listed()?;
    }
    let Some(listing) = listing else {
        return Ok(format!("{text}there is no table inet {table}: nothing to remove\n"));
    };
    let ports = redirected(&listing);
    let open = sockets::open(&ports).map_err(|error| unchanged(&format!("open connections are not told: {error}")))?;
    load(&if open == 0 { removal(table) } else { remainder(table, &ports) })?;
    text.push_str(&report::removed(table, open));
    Ok(text)
}

/// Where the server can be reached, as given, or as the kernel tells.
///
/// # Errors
/// Nothing listens there, or on loopback alone.
fn server(sidecar: &Sidecar) -> Result<Addresses, String> {
    let Some(inbound) = &sidecar.inbound else { return Ok(Addresses::ALL) };
    let port = inbound.server_port;
    let server = known(inbound)?.ok_or_else(|| {
        unchanged(&format!(
            "nothing listens on port {port}: start the server, or name its addresses with --serverAddress"
        ))
    })?;
    if server.is_empty() {
        return Err(unchanged(&format!(
            "the server on port {port} listens on loopback alone: no other host gets there"
        )));
    }
    Ok(server)
}

/// As [`server`], `None` if nothing listens there.
///
/// # Errors
/// The kernel does not tell.
pub(super) fn known(inbound: &Inbound) -> Result<Option<Addresses>, String> {
    if inbound.intercept == Intercept::Redirect {
        return Ok(Some(Addresses::ALL));
    }
    if !inbound.server_addresses.is_empty() {
        // Where IPv4 is meant too, it is named.
        return Ok(Some(Addresses::of(inbound.server_addresses.iter().map(|ip: &IpAddr| (*ip, true)))));
    }
    sockets::server(inbound.server_port).map_err(|error| {
        unchanged(&format!("the kernel does not tell where the server listens: {error}; give --serverAddress"))
    })
}

/// Refuses a redirect while rules of the host name one of its ports, unless the operator has looked at them.
pub(super) fn acknowledge(sidecar: &Sidecar) -> Result<(), String> {
    let Some(inbound) = &sidecar.inbound else { return Ok(()) };
    if inbound.intercept != Intercept::Redirect || inbound.acknowledged {
        return Ok(());
    }
    let mentions = mentions_of([inbound.server_port, inbound.port]).map_err(|error| unchanged(&error))?;
    if mentions.is_empty() { Ok(()) } else { Err(report::mentioned(&mentions, inbound)) }
}

fn mentions_of(ports: [u16; 2]) -> Result<Vec<String>, String> {
    let listed = tool("nft", &["-a", "list", "ruleset"], "").map_err(|error| error.to_string())?;
    let mut found = mentions::in_nft(&listed, ports);
    // nft does not show all that rules of iptables-nft match on, and nothing of the kernel's older tables.
    for (save, names) in [
        ("iptables-nft-save", None),
        ("ip6tables-nft-save", None),
        ("iptables-legacy-save", Some("/proc/net/ip_tables_names")),
        ("ip6tables-legacy-save", Some("/proc/net/ip6_tables_names")),
    ] {
        // Asking for tables of the older kind would create them.
        let tables = names.map(|names| files::read(names.as_ref(), MOST_NAMES).unwrap_or_default());
        if tables.is_some_and(|tables| tables.is_empty()) {
            continue;
        }
        match (find(save), names) {
            (Some(_), _) => {
                // A table that iptables will not show was changed by nft, and nft shows it.
                let saved = tool(save, &[], "").unwrap_or_default();
                found.extend(mentions::in_iptables(save.trim_end_matches("-save"), &saved, ports));
            }
            (None, Some(names)) => found.push(format!("{names}: tables that only {save} lists, which is not in PATH")),
            (None, None) => {}
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|line| seen.insert(line.clone()));
    Ok(found)
}

/// Whether a connection of this host to the canary arrives.
fn canary_answers(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::V4(canary(port)), CANARY_WAIT).is_ok()
}

/// Refuses a table that somebody else made.
pub(super) fn is_ours(table: &str, listing: &str) -> Result<(), String> {
    nft::foreign(listing).map_or(Ok(()), |line| Err(report::foreign(table, line)))
}

pub(super) fn unchanged(error: &dyn Display) -> String {
    format!("nothing was changed: {error}")
}

/// Prints what is the answer, and gives the exit code.
fn print(text: &str) -> u8 {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // A reader that closed it has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot print the answer: {error}"));
            NO
        }
        _ => DONE,
    }
}

/// Prints a line of a command that goes on.
pub(super) fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A closed standard stream is no reason to fail.
pub(super) fn complain(why: &dyn Display) {
    let _ = writeln!(io::stderr(), "tlsramp netfilter: {why}");
}

const DONE: u8 = 0;
const NO: u8 = 1;
const USAGE: u8 = 2;
/// Bytes of a file that names five tables.
const MOST_NAMES: u64 = 4096;
/// A dial within the host takes far less; a rule that drops it never answers.
const CANARY_WAIT: Duration = Duration::from_secs(1);
