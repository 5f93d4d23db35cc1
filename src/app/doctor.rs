//! The checks of `doctor` that need no running proxy. The command `check` makes them.

use std::io;

use tokio::runtime::Builder;

use crate::config::{Loaded, Mistake};
use crate::control::{CheckVerdict, DoctorFinding, check_configuration, check_servers};
use crate::net::Resolvers;
use crate::policy::Mode;
use crate::route::Routes;

/// The checks that need no network: a line for each finding that is not fine.
pub(super) fn local_warnings(loaded: &Loaded, mode: Mode) -> Vec<String> {
    let findings = check_configuration(loaded, mode);
    findings.iter().filter(|finding| finding.verdict != CheckVerdict::Ok).map(line).collect()
}

/// The checks of the names and servers that the configuration leads to.
#[derive(Debug)]
pub(super) struct NetworkLines {
    /// Findings that are fine.
    pub(super) fine: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Connects to the servers of the configuration.
///
/// # Errors
/// A mistake for each server name that is neither a DNS name nor an IP address.
pub(super) fn look_at_network(loaded: &Loaded, mode: Mode) -> Result<io::Result<NetworkLines>, Vec<Mistake>> {
    let routes = Routes::new(&loaded.settings, Resolvers::default())?;
    Ok(Builder::new_current_thread().enable_all().build().map(|runtime| {
        let findings = runtime.block_on(check_servers(loaded, &routes, mode));
        // Does not wait for a thread that may still be resolving a name.
        runtime.shutdown_background();
        let (fine, bad): (Vec<_>, Vec<_>) =
            findings.into_iter().partition(|finding| finding.verdict == CheckVerdict::Ok);
        NetworkLines { fine: fine.iter().map(line).collect(), warnings: bad.iter().map(line).collect() }
    }))
}

fn line(finding: &DoctorFinding) -> String {
    let remedy = finding.remedy.as_ref().map(|remedy| format!(". Remedy: {remedy}")).unwrap_or_default();
    format!("{}, {}: {}{remedy}", finding.id.title(), finding.subject, finding.text)
}
