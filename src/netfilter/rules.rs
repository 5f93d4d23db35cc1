//! Recognises, checks and loads the table in the kernel. Also prints errors.

use std::fmt::Display;
use std::io::{self, Write};

use super::addresses::Addresses;
use super::nft::{self, ToolError, run as tool};
use super::report;
use super::script::script;
use super::settings::{Intercept, Sidecar};

/// Checks the script, then loads it.
///
/// # Errors
/// The table is not tlsramp's, or nft refuses the script.
pub(super) fn set(sidecar: &Sidecar, server: &Addresses) -> Result<(), String> {
    if let Some(listing) = nft::table(&sidecar.table).map_err(|error| unchanged(&error))? {
        is_ours(&sidecar.table, &listing)?;
    }
    let script = script(sidecar, server);
    tool("nft", &["--check", "-f", "-"], &script).map_err(|error| unchanged(&refused(error, sidecar)))?;
    load(&script)
}

/// Loads a script in one nftables transaction.
pub(super) fn load(script: &str) -> Result<(), String> {
    tool("nft", &["-f", "-"], script).map(drop).map_err(|error| unchanged(&error))
}

/// Returns the error for a script that nft refuses.
fn refused(error: ToolError, sidecar: &Sidecar) -> String {
    let tproxy = sidecar.inbound.as_ref().is_some_and(|inbound| inbound.intercept != Intercept::Redirect);
    if tproxy && matches!(error, ToolError::Failed { unprivileged: false, .. }) {
        format!("{error}; this nft or this kernel may be too old for TPROXY: give --redirect")
    } else {
        error.to_string()
    }
}

/// Refuses a table that is not tlsramp's.
pub(super) fn is_ours(table: &str, listing: &str) -> Result<(), String> {
    nft::foreign(listing).map_or(Ok(()), |line| Err(report::foreign(table, line)))
}

pub(super) fn unchanged(error: &dyn Display) -> String {
    format!("nothing was changed: {error}")
}

/// Prints a line of output while the command continues to run.
pub(super) fn print_line(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints to standard error. Write errors are ignored: a closed standard error is no reason to fail.
pub(super) fn print_error(why: &dyn Display) {
    let _ = writeln!(io::stderr(), "tlsramp netfilter: {why}");
}
