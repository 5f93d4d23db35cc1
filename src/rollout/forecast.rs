//! Predicts from the present status of the nodes what later steps will wait for, or why they will be refused. PURE.
//!
//! The nodes are not asked whether they are ready for a later mode, because they would then try TLS to servers that do
//! not accept it yet.

use std::collections::BTreeMap;

use super::external_check::APPLICATION;
use super::limits::NAMED_IN_LINE;
use super::member_names::{of_sets, unknown_to};
use super::node::Node;
use super::peers::ObservedPeers;
use super::plan::PlannedStep;
use crate::admin::replies::{BypassStatus, CertificateStatus, ClientRow};
use crate::limits::EXPIRY_WARNING_DAYS;
use crate::policy::Mode;
use crate::text::{escaped, printable};

/// A line for each prediction, with the index of its node. `accept` has the keys of `--accept`.
pub(super) fn all(
    nodes: &[Node],
    observed_peers: &[ObservedPeers],
    steps: &[PlannedStep],
    accept: &[String],
) -> Vec<(usize, String)> {
    let goes_to = |mode: Mode| steps.iter().any(|step| step.to == mode);
    let sets = of_sets(nodes);
    let mut found = Vec::new();
    for (place, node) in nodes.iter().enumerate() {
        let mut lines = Vec::new();
        if !steps.is_empty() {
            lines.extend(names(&unknown_to(node, &sets)));
        }
        if steps.iter().any(|step| step.to.dials_tls()) {
            lines.extend(node.status.certificates.iter().filter_map(certificate));
        }
        if goes_to(Mode::Require) {
            lines.extend((node.status.redirect == Some(false)).then(|| RULES.to_owned()));
            lines.extend(bypass(&node.status.bypass));
        }
        // For the first step, the nodes themselves list their blockers.
        if goes_to(Mode::Require) && steps.first().is_some_and(|step| step.to != Mode::Require) {
            let rows = observed_peers.get(place).into_iter().flat_map(|observed| &observed.clients);
            lines.extend(rows.filter_map(|row| client(row, accept)));
        }
        found.extend(lines.into_iter().map(|line| (place, line)));
    }
    found
}

fn names(unknown: &[&str]) -> Option<String> {
    let mut shown: Vec<_> = unknown.iter().take(NAMED_IN_LINE).map(|name| printable(name)).collect();
    let more = unknown.len().saturating_sub(shown.len());
    shown.extend((more > 0).then(|| format!("and {more} more")));
    (!shown.is_empty()).then(|| {
        format!("before the first step, gets the names of members that it does not know: {}", shown.join(", "))
    })
}

fn certificate(certificate: &CertificateStatus) -> Option<String> {
    let CertificateStatus { role, subject, not_after, days_left, .. } = certificate;
    let [role, subject, not_after] = [role, subject, not_after].map(|text| printable(text));
    match *days_left {
        ..0 => Some(format!("{role}: the certificate {subject} has expired on {not_after}: rotate it first")),
        left if left < i64::try_from(EXPIRY_WARNING_DAYS).unwrap_or(i64::MAX) => {
            Some(format!("{role}: the certificate {subject} expires in {left} days, on {not_after}"))
        }
        _ => None,
    }
}

/// A line for each direction and peer.
fn bypass(all: &[BypassStatus]) -> Vec<String> {
    let mut peers = BTreeMap::<(&str, &str), usize>::new();
    for one in all {
        let ip = one.remote.rsplit_once(':').map_or(&*one.remote, |(ip, _)| ip);
        *peers.entry((&one.direction, ip)).or_default() += 1;
    }
    let line = |((direction, ip), count): ((&str, &str), usize)| {
        let (direction, ip) = (printable(direction), printable(ip));
        format!(
            "before requireSSL, waits for: {count} {direction} connections with {ip} that bypass tlsramp (ctl ready \
             --to requireSSL prints the command that ends them)"
        )
    };
    peers.into_iter().map(line).collect()
}

fn client(row: &ClientRow, accept: &[String]) -> Option<String> {
    let name = row.application.as_deref().or(row.driver.as_deref());
    let is_own = row.application.as_deref().is_some_and(|name| OWN.contains(&name));
    if row.member || is_own {
        return None;
    }
    let (shown, ip) = (printable(name.unwrap_or("an unknown client")), printable(&row.ip));
    if row.accepted || accept.contains(&row.key) {
        return Some(format!("requireSSL refuses {shown} at {ip}: the refusal is accepted ({})", escaped(&row.key)));
    }
    row.blocks.then(|| format!("before requireSSL, waits for: {shown} at {ip}"))
}

/// Application names of tlsramp's own connections, which follow the mode.
const OWN: [&str; 2] = ["tlsramp probe", APPLICATION];
const RULES: &str =
    "before requireSSL, waits for: its redirect rules, which are missing (tlsramp netfilter ... --apply)";

#[cfg(test)]
mod tests {
    use super::all;
    use crate::admin::replies::{BypassStatus, CertificateStatus, ClientRow};
    use crate::policy::Mode::{Allow, Disabled, Require};
    use crate::rollout::node::{MemberState, Node, tests::member};
    use crate::rollout::peers::ObservedPeers;
    use crate::rollout::plan::PlannedStep;

    fn client(application: Option<&str>, change: impl FnOnce(&mut ClientRow)) -> ClientRow {
        let mut row = ClientRow {
            key: "1.1.1.1/a/-".into(),
            ip: "1.1.1.1".into(),
            application: application.map(Into::into),
            blocks: true,
            ..ClientRow::default()
        };
        change(&mut row);
        row
    }

    /// The lines for a node with these clients, before a rollout to requireSSL.
    fn lines(node: impl FnOnce(&mut Node), clients: Vec<ClientRow>, accept: &[String]) -> Vec<String> {
        let mut one = member("a", MemberState::Primary, Disabled, &[]);
        one.status.members = vec![crate::admin::replies::MemberStatus { name: "A:27017".into(), ..Default::default() }];
        node(&mut one);
        let steps = [PlannedStep { node: 0, to: Allow }, PlannedStep { node: 0, to: Require }];
        let observed = ObservedPeers { clients, connections: Vec::new() };
        all(&[one], &[observed], &steps, accept).into_iter().map(|(_, line)| line).collect()
    }

    #[test]
    fn later_waits_and_refusals_are_named_and_escaped() {
        assert_eq!(lines(|_| {}, Vec::new(), &[]), [""; 0]);
        let found = lines(|node| node.status.members.clear(), Vec::new(), &[]);
        assert_eq!(found, ["before the first step, gets the names of members that it does not know: a:27017"]);
        let certificate = |days_left| CertificateStatus {
            role: "tlsCertificateKeyFile".into(),
            subject: "CN=\u{1b}a".into(),
            not_after: "then".into(),
            days_left,
            ..CertificateStatus::default()
        };
        for (days, part) in [(-1, Some("has expired on then")), (29, Some("expires in 29 days")), (30, None)] {
            let found = lines(|node| node.status.certificates = vec![certificate(days)], Vec::new(), &[]);
            assert_eq!(found.len(), usize::from(part.is_some()), "{found:?}");
            assert!(found.iter().all(|line| line.contains(part.unwrap()) && line.contains(r"CN=\u{1b}a")), "{found:?}");
        }
        let around = |remote: &str| BypassStatus {
            direction: "inbound".into(),
            remote: remote.into(),
            ..BypassStatus::default()
        };
        let found = lines(|node| node.status.bypass = vec![around("2.2.2.2:1"), around("2.2.2.2:2")], Vec::new(), &[]);
        assert!(found.len() == 1 && found[0].contains("2 inbound connections with 2.2.2.2"), "{found:?}");
        let found = lines(|node| node.status.redirect = Some(false), Vec::new(), &[]);
        assert!(found[0].contains("redirect rules, which are missing"), "{found:?}");
    }

    #[test]
    fn clients_are_named_and_tlsramps_own_are_not() {
        for (row, expected) in [
            (client(Some("re\nports"), |_| {}), Some(r"before requireSSL, waits for: re\nports at 1.1.1.1")),
            (client(None, |_| {}), Some("before requireSSL, waits for: an unknown client at 1.1.1.1")),
            (client(Some("tlsramp probe"), |_| {}), None),
            (client(Some("tlsramp rollout"), |row| row.accepted = true), None),
            (client(Some("a"), |row| row.member = true), None),
            (client(Some("a"), |row| row.blocks = false), None),
            (
                client(Some("a"), |row| (row.blocks, row.accepted) = (false, true)),
                Some("requireSSL refuses a at 1.1.1.1: the refusal is accepted (1.1.1.1/a/-)"),
            ),
        ] {
            assert_eq!(lines(|_| {}, vec![row.clone()], &[]).first().map(String::as_str), expected, "{row:?}");
        }
        let found = lines(|_| {}, vec![client(Some("a"), |_| {})], &["1.1.1.1/a/-".to_owned()]);
        assert!(found[0].starts_with("requireSSL refuses a at 1.1.1.1"), "{found:?}");
    }
}
