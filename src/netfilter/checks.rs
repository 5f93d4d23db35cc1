//! Checks that are made before and after the rules are applied: the server's addresses, listeners that connections
//! would not reach, and rules of the host that name the port.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::addresses::Addresses;
use super::nft::{find, run as tool};
use super::rules::unchanged;
use super::settings::{InboundRules, Intercept, Sidecar};
use super::sockets::{self, UnreachedPort};
use super::{mentions, report};
use crate::files;
use crate::net::listening;

/// Returns the ports of tlsramp that intercepted connections would not reach now.
pub(super) fn unreached(sidecar: &Sidecar, server: &Addresses) -> Vec<UnreachedPort> {
    sockets::unreached(&listening().unwrap_or_default(), sidecar, server)
}

/// Returns warnings about connections that would not reach tlsramp, or would not be intercepted.
pub(super) fn warnings(sidecar: &Sidecar, server: &Addresses, unreached: &[UnreachedPort]) -> Vec<String> {
    let mut warnings: Vec<String> = unreached.iter().map(|one| report::unreached(*one, sidecar)).collect();
    if let Some(inbound) = sidecar.inbound.as_ref().filter(|inbound| !inbound.server_addresses.is_empty())
        && let Ok(Some(found)) = sockets::server(inbound.server_port)
        && !server.covers(&found)
    {
        warnings.push(report::uncovered(&found, inbound));
    }
    warnings
}

/// Returns the server's addresses, from the command line or from the kernel; `None` if no process listens on the
/// server's port.
///
/// # Errors
/// The kernel's socket table cannot be read.
pub(super) fn known(inbound: &InboundRules) -> Result<Option<Addresses>, String> {
    if inbound.intercept == Intercept::Redirect {
        return Ok(Some(Addresses::ALL));
    }
    if !inbound.server_addresses.is_empty() {
        // On the command line, `::` does not include IPv4; `0.0.0.0` has to be given too.
        return Ok(Some(Addresses::of(inbound.server_addresses.iter().map(|ip: &IpAddr| (*ip, true)))));
    }
    sockets::server(inbound.server_port).map_err(|error| {
        unchanged(&format!("the server's listeners cannot be read from the kernel: {error}; give --serverAddress"))
    })
}

/// Refuses a redirect while rules of the host name the server's port or tlsramp's, unless the operator has acknowledged
/// these rules.
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
    // nft does not show every match of iptables-nft rules, and shows no legacy tables.
    for (save, names) in [
        ("iptables-nft-save", None),
        ("ip6tables-nft-save", None),
        ("iptables-legacy-save", Some("/proc/net/ip_tables_names")),
        ("ip6tables-legacy-save", Some("/proc/net/ip6_tables_names")),
    ] {
        // Listing legacy tables would create them, so only existing tables are listed.
        let tables = names.map(|names| files::read(names.as_ref(), MOST_NAMES).unwrap_or_default());
        if tables.is_some_and(|tables| tables.is_empty()) {
            continue;
        }
        match (find(save), names) {
            (Some(_), _) => {
                // Errors are ignored: iptables fails to show a table only if nft has changed it, and then nft shows it.
                let saved = tool(save, &[], "").unwrap_or_default();
                found.extend(mentions::in_iptables(save.trim_end_matches("-save"), &saved, ports));
            }
            (None, Some(names)) => found.push(format!(
                "{names}: tables that only {save} can list, which is not in PATH: install it (iptables)"
            )),
            (None, None) => {}
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|line| seen.insert(line.clone()));
    Ok(found)
}

/// Size limit of a file that names at most five tables.
const MOST_NAMES: u64 = 4096;
