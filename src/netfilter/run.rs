//! What each verb does, and the exit code.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::ArgMatches;

use super::carry::{Remedy, remedies};
use super::firewall::{findings, notes};
use super::report;
use super::ruleset::{Chain, Ruleset};
use super::script::{MARK, removal, script};
use super::settings::{Asked, Sidecar};
use super::sockets::sockets;
use super::survey::{of_nft, survey};
use super::tools::run as tool;

/// Prints, applies, removes or carries over. 0: done; 1: refused or failed, nothing was changed, or something is left to
/// be done by hand; 2: usage.
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
        Asked::Print(sidecar) => Ok((script(sidecar), DONE)),
        Asked::Apply(sidecar) => apply(&asked, sidecar).map(|said| (said, DONE)),
        Asked::Remove(table) => remove(&asked, table).map(|said| (said, DONE)),
        Asked::CarryOver(sidecar) => carry_over(sidecar),
    };
    match done {
        Ok((said, exit)) => ExitCode::from(print(&said, exit)),
        Err(why) => {
            complain(&why);
            ExitCode::from(NO)
        }
    }
}

fn apply(asked: &Asked, sidecar: &Sidecar) -> Result<String, String> {
    let ruleset = survey().map_err(|error| unchanged(&error))?;
    is_ours(&ruleset, &sidecar.table, asked)?;
    let findings = findings(&ruleset, sidecar);
    if !findings.is_empty() {
        return Err(report::refusal(&findings, sidecar));
    }
    // One transaction: the kernel takes all of it, or nothing.
    tool("nft", &["-f", "-"], &script(sidecar)).map_err(|error| unchanged(&error))?;
    Ok(report::applied(sidecar, &notes(&ruleset, sidecar), sockets(sidecar).as_ref()))
}

fn remove(asked: &Asked, table: &str) -> Result<String, String> {
    let ruleset = of_nft().map_err(|error| unchanged(&error))?;
    let there = ruleset.tables.iter().any(|(family, name)| family == "inet" && name == table);
    if !there {
        return Ok(format!("there is no table inet {table}: nothing to remove\n"));
    }
    is_ours(&ruleset, table, asked)?;
    tool("nft", &["-f", "-"], &removal(table)).map_err(|error| unchanged(&error))?;
    Ok(format!("removed: table inet {table}; connections that it has redirected go on until they are closed\n"))
}

fn carry_over(sidecar: &Sidecar) -> Result<(String, u8), String> {
    let ruleset = survey().map_err(|error| error.to_string())?;
    let findings = findings(&ruleset, sidecar);
    let remedies = remedies(&findings, &ruleset, sidecar);
    let by_hand = remedies.iter().any(|(_, remedy)| matches!(remedy, Remedy::ByHand(_)));
    Ok((report::carry_over(&remedies, sidecar), if by_hand { NO } else { DONE }))
}

/// Refuses a table that somebody else made.
fn is_ours(ruleset: &Ruleset, table: &str, asked: &Asked) -> Result<(), String> {
    let of_table = |name: &(String, String, String)| name.0 == "inet" && name.1 == table;
    let chains = ruleset.chains.values().filter(|chain| of_table(&chain.name));
    let others = |chain: &&Chain| {
        let known = matches!(chain.name.2.as_str(), "prerouting" | "output");
        !known || chain.rules.is_empty() || chain.rules.iter().any(|rule| !rule.comment.starts_with(MARK))
    };
    let foreign = chains.filter(others).map(|chain| &chain.name.2).next();
    match foreign.or_else(|| ruleset.sets.keys().find(|set| of_table(set)).map(|set| &set.2)) {
        Some(name) => Err(report::foreign(table, name, asked)),
        None => Ok(()),
    }
}

fn unchanged(error: &dyn Display) -> String {
    format!("nothing was changed: {error}")
}

/// Prints what is the answer, and gives the exit code.
fn print(text: &str, exit: u8) -> u8 {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever closed it has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot print the answer: {error}"));
            exit.max(NO)
        }
        _ => exit,
    }
}

/// A closed standard stream is no reason to fail.
fn complain(why: &dyn Display) {
    let _ = writeln!(io::stderr(), "tlsramp netfilter: {why}");
}

const DONE: u8 = 0;
const NO: u8 = 1;
const USAGE: u8 = 2;
