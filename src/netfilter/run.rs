//! Runs the command: prints, applies, shows or removes the rules, and returns the exit code.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;

use super::addresses::Addresses;
use super::checks::{acknowledge, known, unreached, warnings};
use super::keep::{self, Keeper};
use super::rules::{is_ours, load, print_error, set, unchanged};
use super::script::{redirected, remainder, removal, script};
use super::settings::{NetfilterCommand, Sidecar};
use super::sockets::{self, ListenerProblem, older};
use super::{nft, report};
use crate::net::canary;

/// Prints, applies, keeps, shows or removes the rules. Exit codes: 0 for success; 1 if the command was refused or
/// failed, in which case nothing was changed but what the error says, or if the output of a successful command cannot be
/// printed; 2 for a usage error.
pub fn run(arguments: &ArgMatches) -> ExitCode {
    let asked = match NetfilterCommand::of(arguments) {
        Ok(asked) => asked,
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| print_error(mistake));
            return ExitCode::from(USAGE);
        }
    };
    let done = match &asked {
        NetfilterCommand::Print(sidecar) => printed(sidecar),
        NetfilterCommand::Apply(sidecar) => apply(sidecar),
        NetfilterCommand::Keep(sidecar) => keep::run(sidecar).map(|()| String::new()),
        NetfilterCommand::Show(table) => show(table),
        NetfilterCommand::Remove(table) => remove(table),
    };
    match done {
        Ok(said) => ExitCode::from(print(&said)),
        Err(why) => {
            print_error(&why);
            ExitCode::from(NO)
        }
    }
}

/// Returns the script. If the server does not listen, the rules cover every address of the host.
fn printed(sidecar: &Sidecar) -> Result<String, String> {
    let known = sidecar.inbound.as_ref().map(known).transpose()?.flatten();
    if let (None, Some(inbound)) = (&known, &sidecar.inbound) {
        let port = inbound.server_port;
        print_error(&format!("nothing listens on port {port} now: these rules apply to every address of the host"));
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
    if let Some(one) = unreached.iter().find(|one| one.problem == ListenerProblem::NotTransparent) {
        return Err(unchanged(&report::unreached(*one, sidecar)));
    }
    acknowledge(sidecar)?;
    set(sidecar, &server)?;
    let mut text = report::applied(sidecar, &server);
    text.push_str("  a restart of the host or a reload of its firewall removes the rules; --keep applies them again\n");
    for warning in warnings(sidecar, &server, &unreached) {
        text.push_str(&format!("  WARNING: {warning}\n"));
    }
    if unreached.is_empty() && !canary_answers(sidecar.canary_to) {
        text.push_str(&format!(
            "  WARNING: a connection from this host that is redirected to port {} does not arrive: a rule of the host \
             drops it; allow connections on lo to that port\n",
            sidecar.canary_to
        ));
    }
    let peers = older(sidecar).map_err(|error| error.to_string());
    text.push_str(&report::older(sidecar, peers.as_deref().map_err(Clone::clone)));
    Ok(text)
}

fn show(table: &str) -> Result<String, String> {
    let listing = nft::table(table).map_err(|error| error.to_string())?;
    let mut text = listing.ok_or_else(|| format!("there is no table inet {table}"))?;
    if let Some(line) = nft::foreign(&text) {
        return Err(format!(
            "the table inet {table} is not tlsramp's: it contains `{}`; give --table another name",
            crate::text::printable(line)
        ));
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
    let listing = listed()?;
    let Some(keeper) = Keeper::of(table)? else { return remove_listed(table, listing) };
    keep::end(table, keeper)?;
    let removed = listed().and_then(|listing| remove_listed(table, listing));
    let kept = format!("process {keeper}, which kept the table");
    removed
        .map(|text| format!("ended: {kept}\n{text}"))
        .map_err(|why| format!("{kept}, was ended; apart from that, {why}"))
}

/// Removes the rules of a table's listing, except those that open connections still need.
fn remove_listed(table: &str, listing: Option<String>) -> Result<String, String> {
    let Some(listing) = listing else { return Ok(format!("there is no table inet {table}: nothing to remove\n")) };
    let ports = redirected(&listing);
    let open = sockets::open(&ports).map_err(|error| unchanged(&format!("cannot list open connections: {error}")))?;
    load(&if open == 0 { removal(table) } else { remainder(table, &ports) })?;
    Ok(report::removed(table, open))
}

/// Returns the server's addresses, from the command line or from the kernel.
///
/// # Errors
/// No process listens on the server's port, or the server listens on loopback only.
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
            "the server on port {port} listens on loopback only: no other host can reach it"
        )));
    }
    Ok(server)
}

/// Returns whether a connection from this host to the canary address succeeds.
fn canary_answers(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::V4(canary(port)), CANARY_WAIT).is_ok()
}

/// Prints the output and returns the exit code.
fn print(text: &str) -> u8 {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // A broken pipe is not an error: the reader has closed it.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            print_error(&format!("the command was successful, but its output cannot be printed: {error}"));
            NO
        }
        _ => DONE,
    }
}

const DONE: u8 = 0;
const NO: u8 = 1;
const USAGE: u8 = 2;
/// The time limit of the canary connection. A connection within the host takes far less time; if a rule drops its
/// packets, it gets no answer.
const CANARY_WAIT: Duration = Duration::from_secs(1);
