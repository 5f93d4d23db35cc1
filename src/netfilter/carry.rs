//! The commands that carry rules over: what makes the firewall treat the port behind the redirect as it treats the
//! mongod's, whoever connects, with the redirect and without. They are printed; tlsramp never runs them.

use super::compare::Unlike;
use super::dump;
use super::firewall::{Finding, Problem};
use super::judge::{Seen, seen};
use super::packet::{Packet, Path};
use super::ruleset::{Chain, Rule, Ruleset, Tool};
use super::settings::{Inbound, Sidecar};
use super::words::{iptables_for, is_for_tcp, nft_for, quoted, without_counts};

/// What is to be done about a finding.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Commands for a shell, in order.
    Commands(Vec<String>),
    /// Something that no command can be given for.
    ByHand(String),
}

/// What is to be done about each finding, in the order in which it is to be done: from the end of a chain to its start,
/// because iptables counts the rules.
pub(super) fn remedies<'a>(
    findings: &'a [Finding<'a>],
    ruleset: &Ruleset,
    sidecar: &Sidecar,
) -> Vec<(&'a Finding<'a>, Remedy)> {
    let mut ordered: Vec<&Finding> = findings.iter().collect();
    ordered.sort_by_key(|finding| {
        let from_the_end =
            finding.rule.and_then(|rule| finding.chain.rules.iter().position(|other| other.handle == rule.handle));
        (finding.chain.name.clone(), std::cmp::Reverse(from_the_end))
    });
    ordered.into_iter().map(|finding| (finding, remedy(finding, ruleset, sidecar))).collect()
}

fn remedy(finding: &Finding, ruleset: &Ruleset, sidecar: &Sidecar) -> Remedy {
    let chain = finding.chain;
    match (finding.problem, finding.rule, sidecar.inbound) {
        (Problem::Unlike(unlike), Some(rule), Some(inbound)) => {
            let commands = match unlike {
                Unlike::Misses => added(chain, rule, inbound, ruleset),
                Unlike::Catches => Some(excepted(chain, rule, inbound)),
                Unlike::Differs | Unlike::Unclear => None,
            };
            let Inbound { server_port, port } = inbound;
            let by_hand = || format!("change it so that it does with {port} what it does with {server_port}");
            commands.map_or_else(|| Remedy::ByHand(by_hand()), Remedy::Commands)
        }
        (Problem::Elsewhere, ..) => Remedy::ByHand("remove the one or the other".into()),
        (Problem::OtherSidecar, ..) => {
            Remedy::ByHand("run both in the same --exemptGroup, or give each its --memberPort".into())
        }
        (Problem::DropsRedirected, ..) => Remedy::Commands(vec![let_through(chain, sidecar.canary_to)]),
        (Problem::Unlike(_), None, _) | (Problem::Unlike(_), _, None) => Remedy::ByHand("look at it".into()),
    }
}

/// The same rule for the other port, right behind.
fn added(chain: &Chain, rule: &Rule, inbound: Inbound, ruleset: &Ruleset) -> Option<Vec<String>> {
    let (_, table, name) = &chain.name;
    match chain.by {
        Tool::Nft => {
            let verdict = verdict(chain, rule, inbound, ruleset);
            let text = nft_for(&rule.text, inbound.port, verdict.as_deref())?;
            Some(vec![nft(&format!("add rule {} handle {} {text}", chain.shown(), rule.handle))])
        }
        Tool::Iptables(command) => {
            let words = iptables_for(&rule.text, inbound.port)?;
            let number = (rule.handle + 1).to_string();
            Some(vec![iptables(command, table, &["-I", name, &number], &words)])
        }
    }
}

/// The same rule, but not for connections that were made to the mongod's port. This one cannot be added: the rule itself
/// has to let them pass.
fn excepted(chain: &Chain, rule: &Rule, Inbound { server_port, .. }: Inbound) -> Vec<String> {
    let (_, table, name) = &chain.name;
    match chain.by {
        Tool::Nft => {
            let (of, handle, text) = (chain.shown(), rule.handle, without_counts(&rule.text));
            let replaced = nft(&format!(
                "replace rule {of} handle {handle} meta l4proto tcp ct original proto-dst != {server_port} {text}"
            ));
            if is_for_tcp(&text) {
                return vec![replaced];
            }
            // Ports are for a protocol to have: what has none stays as it is.
            vec![nft(&format!("add rule {of} handle {handle} meta l4proto != tcp {text}")), replaced]
        }
        Tool::Iptables(command) => {
            let except = ["-m", "conntrack", "!", "--ctorigdstport", &server_port.to_string()].map(str::to_owned);
            let words = dump::words(&rule.text);
            // Matches come before the target.
            let target = words.iter().position(|word| word == "-j" || word == "-g").unwrap_or(words.len());
            let words = [&words[..target], &except, &words[target..]].concat();
            vec![iptables(command, table, &["-R", name, &rule.handle.to_string()], &words)]
        }
    }
}

/// Lets what the output chain has redirected come to tlsramp, at the start of a base chain.
fn let_through(chain: &Chain, port: u16) -> String {
    let (_, table, name) = &chain.name;
    let input = chain.base.as_ref().is_some_and(|base| base.hook == "input");
    match chain.by {
        Tool::Nft if input => nft(&format!("insert rule {} iifname \"lo\" tcp dport {port} accept", chain.shown())),
        // The interface is still the one by which it would have left.
        Tool::Nft => nft(&format!("insert rule {} fib daddr type local tcp dport {port} accept", chain.shown())),
        Tool::Iptables(command) => {
            let loopback = if command.starts_with("ip6") { "::1" } else { "127.0.0.1" };
            let by = if input { ["-i", "lo"] } else { ["-d", loopback] };
            let port = port.to_string();
            let words =
                [&by[..], &["-p", "tcp", "--dport", &port, "-j", "ACCEPT"]].concat().into_iter().map(str::to_owned);
            iptables(command, table, &["-I", name, "1"], &words.collect::<Vec<_>>())
        }
    }
}

/// What a map of verdicts has for the mongod's port.
fn verdict(chain: &Chain, rule: &Rule, inbound: Inbound, ruleset: &Ruleset) -> Option<String> {
    let packet = Packet { port: inbound.server_port, original: inbound.server_port, path: Path::In };
    let Seen::May(left) = seen(rule, &chain.name, packet, ruleset) else { return None };
    match (left.verdict(), left.target()) {
        (Some(verdict), Some(target)) => Some(format!("{verdict} {target}")),
        (Some(verdict @ ("accept" | "drop" | "return")), None) => Some(verdict.to_owned()),
        _ => None,
    }
}

fn nft(command: &str) -> String {
    format!("nft {}", quoted(command))
}

fn iptables(command: &str, table: &str, place: &[&str], words: &[String]) -> String {
    let words = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    format!("{command} -t {table} {} {words}", place.join(" "))
}
