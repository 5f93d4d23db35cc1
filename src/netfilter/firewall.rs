//! All findings of a host: what its rules would make of the redirects.

use super::compare::{Unlike, unlike};
use super::judge::{Seen, seen};
use super::loopback;
use super::packet::{Packet, Path};
use super::ruleset::{Base, Chain, Rule, Ruleset};
use super::script::MARK;
use super::settings::{Inbound, Outbound, Sidecar};
use crate::net::canary;

/// Something that keeps the redirects from being applied.
#[derive(Debug)]
pub(super) struct Finding<'a> {
    pub(super) chain: &'a Chain,
    /// None where it is the chain as a whole.
    pub(super) rule: Option<&'a Rule>,
    pub(super) problem: Problem,
}

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// A rule treats the port behind the redirect unlike the mongod's.
    Unlike(Unlike),
    /// The port is redirected already, by somebody else.
    Elsewhere,
    /// Another sidecar would redirect this one's own connections, and the other way about.
    OtherSidecar,
    /// A base chain drops what the output chain redirects, on its way to tlsramp.
    DropsRedirected,
}

/// All of them, by chain, in order.
pub(super) fn findings<'a>(ruleset: &'a Ruleset, sidecar: &Sidecar) -> Vec<Finding<'a>> {
    let ours = |chain: &Chain| chain.name.0 == "inet" && chain.name.1 == sidecar.table;
    let mut found = Vec::new();
    if let Some(inbound) = sidecar.inbound {
        for chain in ruleset.reached_from(sees_the_new_port) {
            let rules = unlike(chain, inbound, ruleset);
            let finding =
                |(index, unlike)| Finding { chain, rule: chain.rules.get(index), problem: Problem::Unlike(unlike) };
            found.extend(rules.into_iter().map(finding));
        }
        found.extend(elsewhere(ruleset, inbound).filter(|finding| !ours(finding.chain)));
    }
    let (out, original) = match &sidecar.outbound {
        Some(outbound) => {
            found.extend(other_sidecars(ruleset, outbound).filter(|finding| !ours(finding.chain)));
            (Path::OutRedirected, outbound.member_ports.first().copied().unwrap_or_default())
        }
        None => (Path::OutCanary, canary(sidecar.canary_to).port()),
    };
    let dropping = loopback::dropped_by(ruleset, original, sidecar.canary_to, out);
    found.extend(dropping.into_iter().map(|chain| Finding { chain, rule: None, problem: Problem::DropsRedirected }));
    found
}

/// Whether a base chain comes after address translation, on the way in.
fn sees_the_new_port(base: &Base) -> bool {
    let late = base.hook == "input" || (base.hook == "prerouting" && base.priority > DSTNAT);
    late && base.kind == "filter"
}

/// Rules that send the mongod's port elsewhere.
fn elsewhere(ruleset: &Ruleset, inbound: Inbound) -> impl Iterator<Item = Finding<'_>> {
    let packet = Packet { port: inbound.server_port, original: inbound.server_port, path: Path::In };
    let chains = ruleset.reached_from(|base| base.hook == "prerouting");
    chains.into_iter().flat_map(move |chain| {
        let sends = move |rule: &&Rule| {
            let translates = rule.statements.iter().any(|part| TRANSLATING.iter().any(|key| part.get(*key).is_some()));
            translates && matches!(seen(rule, &chain.name, packet, ruleset), Seen::May(left) if left.by_port)
        };
        let finding = move |rule| Finding { chain, rule: Some(rule), problem: Problem::Elsewhere };
        chain.rules.iter().filter(sends).map(finding)
    })
}

/// Sidecars that know another group for tlsramp's own connections, to the same ports.
fn other_sidecars<'a>(ruleset: &'a Ruleset, outbound: &Outbound) -> impl Iterator<Item = Finding<'a>> {
    let is = |rule: &&Rule, what: &str| rule.comment.strip_prefix(MARK) == Some(what);
    ruleset.chains.values().filter_map(move |chain| {
        let own = chain.rules.iter().find(|rule| is(rule, "own connections"))?;
        let group = own.statements.first()?["match"]["right"].as_u64();
        let shares = |rule: &Rule| {
            outbound.member_ports.iter().any(|port| {
                let packet = Packet { port: *port, original: *port, path: Path::OutRedirected };
                // The addresses may tell the two apart, or not.
                seen(rule, &chain.name, packet, ruleset) != Seen::Never
            })
        };
        let overlaps = chain.rules.iter().filter(|rule| is(rule, "outbound")).any(shares);
        let other = overlaps && group != Some(outbound.exempt.into());
        other.then_some(Finding { chain, rule: Some(own), problem: Problem::OtherSidecar })
    })
}

/// Rules that are no findings, but that somebody may want to look at: by what they look at, behind the redirect they may
/// mean something else.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// It looks at the destination address.
    Address(String),
    /// It looks at whose connection it is: to other members, that is tlsramp's now.
    Owner(String),
}

/// All of them.
pub(super) fn notes(ruleset: &Ruleset, sidecar: &Sidecar) -> Vec<Note> {
    let mut notes = Vec::new();
    if let Some(Inbound { server_port, port }) = sidecar.inbound {
        let packet = Packet { port, original: server_port, path: Path::In };
        let by = |key: &str| key == "\"daddr\"";
        notes.extend(looking(ruleset, packet, sees_the_new_port, by).map(Note::Address));
    }
    for port in sidecar.outbound.iter().flat_map(|outbound| &outbound.member_ports) {
        let packet = Packet { port: *port, original: *port, path: Path::OutRedirected };
        let by = |key: &str| key == "\"skuid\"" || key == "\"skgid\"";
        let found = looking(ruleset, packet, |base| base.hook == "output" && base.kind == "filter", by);
        notes.extend(found.map(Note::Owner));
    }
    notes.dedup();
    notes
}

/// Rules that name the packet's port, and are left with a match on what `by` says.
fn looking<'a>(
    ruleset: &'a Ruleset,
    packet: Packet,
    hooks: impl Fn(&Base) -> bool,
    by: impl Fn(&str) -> bool + Copy + 'a,
) -> impl Iterator<Item = String> + 'a {
    ruleset.reached_from(hooks).into_iter().flat_map(move |chain| {
        let looks = move |rule: &&Rule| match seen(rule, &chain.name, packet, ruleset) {
            Seen::May(left) => left.by_port && left.statements.iter().any(|part| has(part, by)),
            Seen::Never | Seen::Unclear => false,
        };
        chain.rules.iter().filter(looks).map(|rule| rule.shown(chain))
    })
}

/// Whether a statement has a text of which `by` says so.
fn has(statement: &serde_json::Value, by: impl Fn(&str) -> bool) -> bool {
    statement.to_string().split([':', ',', '{', '}', '[', ']']).any(by)
}

const TRANSLATING: [&str; 3] = ["dnat", "redirect", "tproxy"];
/// The priority of address translation in prerouting.
const DSTNAT: i64 = -100;
