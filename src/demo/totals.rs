//! The totals at the end of the demo.

use std::time::Duration;

use super::cluster::Cluster;
use super::output::{legend, thousands};
use super::screen::{Colour, Screen};
use super::tally::CountedKind;
use super::upgrade::Findings;

/// Prints the totals, and the texts of all differences and of the first failures. Returns whether there were none.
pub(super) fn show(screen: &Screen, cluster: &Cluster, findings: &Findings, took: Duration) -> bool {
    let good = findings.differences.is_empty() && cluster.tally.failed() == 0;
    if good {
        legend(screen);
    }
    screen.line("");
    let clients = format!("by {} clients", cluster.clients.len());
    for (of, name, by) in [
        (CountedKind::Operation, "operations", clients.as_str()),
        (CountedKind::Heartbeat, "heartbeats", "between the nodes"),
    ] {
        let count = cluster.tally.read(of);
        let failed = format!("failed: {}", thousands(count.failed));
        row(screen, name, &thousands(count.done), by, &failed, count.failed == 0);
    }
    let different = findings.differences.len();
    let [plaintext, tls] = findings.refused;
    let kinds = format!("{plaintext} plaintext, {tls} TLS");
    let refusals = if good { "as expected" } else { "" };
    row(screen, "refused", &thousands(plaintext + tls), &kinds, refusals, good);
    let verdict = if different == 0 { "as in the truth table".to_owned() } else { format!("different: {different}") };
    row(screen, "checked", &thousands(findings.observations), "clients and links", &verdict, different == 0);
    screen.line(format_args!("  {:NAME$}{:>NUMBER$}", "time", format!("{:.1} s", took.as_secs_f64())));
    if !good {
        complain(screen, cluster, findings);
    }
    good
}

fn row(screen: &Screen, name: &str, number: &str, what: &str, verdict: &str, good: bool) {
    let verdict = screen.paint(if good { Colour::Good } else { Colour::Bad }, verdict);
    screen.line(format_args!("  {name:NAME$}{number:>NUMBER$}  {what:WHAT$}{verdict}"));
}

fn complain(screen: &Screen, cluster: &Cluster, findings: &Findings) {
    screen.line("");
    screen.line(screen.paint(Colour::Bad, "The upgrade was stopped because of these differences and failures:"));
    for text in findings.differences.iter().cloned().chain(cluster.tally.first_failures()) {
        screen.line(format_args!("  - {text}"));
    }
}

/// Widths of the columns.
const NAME: usize = 12;
const NUMBER: usize = 8;
const WHAT: usize = 22;
