//! All rules of the host: asked of nft, and of iptables where there are rules of its own.

use std::collections::BTreeSet;
use std::path::Path;

use super::dump;
use super::ruleset::{Ruleset, parse};
use super::tools::{ToolError, find, run};
use crate::files;

/// Why the rules could not be looked at.
#[derive(Debug, thiserror::Error)]
pub(super) enum SurveyError {
    /// A tool is not there, or failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// What a tool printed is not understood.
    #[error("{0}")]
    Strange(String),
    /// The kernel's older tables have rules, and nothing to look at them with.
    #[error(
        "the kernel has rules of iptables-legacy ({names}), and {command} is not in PATH: what they do to the redirect \
         could not be looked at; install the package iptables, or remove these tables"
    )]
    Legacy {
        /// The file that names the tables.
        names: &'static str,
        /// What would show them.
        command: &'static str,
    },
    /// Whether it has could not be found out.
    #[error("{0}: {1}; run this as root")]
    Unreadable(&'static str, String),
}

/// Asks all of them.
///
/// # Errors
/// See [`SurveyError`].
pub(super) fn survey() -> Result<Ruleset, SurveyError> {
    let mut ruleset = of_nft()?;
    for (family, save, command) in
        [("ip", "iptables-nft-save", "iptables-nft"), ("ip6", "ip6tables-nft-save", "ip6tables-nft")]
    {
        let of_iptables = |name: &str| matches!(name, "PREROUTING" | "INPUT" | "FORWARD" | "OUTPUT" | "POSTROUTING");
        let has = ruleset.chains.keys().any(|name| name.0 == family && of_iptables(&name.2));
        if !has || find(save).is_none() {
            continue;
        }
        // A table that iptables will not show has been changed by nft, and nft shows it.
        let Ok(chains) = dump::parse(&run(save, &[], "")?, family, command) else { continue };
        let tables: BTreeSet<String> = chains.keys().map(|name| name.1.clone()).collect();
        ruleset.chains.retain(|name, _| name.0 != family || !tables.contains(&name.1));
        ruleset.chains.extend(chains);
    }
    legacy(&mut ruleset)?;
    Ok(ruleset)
}

/// Asks nft alone.
///
/// # Errors
/// See [`SurveyError`].
pub(super) fn of_nft() -> Result<Ruleset, SurveyError> {
    let json = run("nft", &["-j", "list", "ruleset"], "")?;
    let text = run("nft", &["-a", "list", "ruleset"], "")?;
    parse(&json, &text).map_err(SurveyError::Strange)
}

/// The kernel's older tables, which nft does not show.
fn legacy(ruleset: &mut Ruleset) -> Result<(), SurveyError> {
    let versions = [
        ("/proc/net/ip_tables_names", "ip legacy", "iptables-legacy-save", "iptables-legacy"),
        ("/proc/net/ip6_tables_names", "ip6 legacy", "ip6tables-legacy-save", "ip6tables-legacy"),
    ];
    for (names, family, save, command) in versions {
        let path = Path::new(names);
        if !path.exists() {
            continue;
        }
        let tables = files::read(path, MOST_NAMES).map_err(|error| SurveyError::Unreadable(names, error))?;
        if tables.is_empty() {
            continue;
        }
        if find(save).is_none() {
            return Err(SurveyError::Legacy { names, command: save });
        }
        let chains = dump::parse(&run(save, &[], "")?, family, command);
        ruleset.chains.extend(chains.map_err(SurveyError::Strange)?);
    }
    Ok(())
}

/// Bytes of a file that names five tables.
const MOST_NAMES: u64 = 4096;
