//! Rules that treat the port behind the redirect unlike the port that it stands for.
//!
//! Each chain is read twice: as a connection to the mongod's port sees it today, and as the same connection sees it behind
//! the redirect. What is known of the packet is taken out of every rule; if what is left is the same, rule for rule, then
//! so is the chain's verdict, whoever connects. That a rule is there for both ports, or has a counterpart between the same
//! neighbours, comes out as the same; so does a rule that never looks at the port.

use serde_json::Value;

use super::judge::{Left, Seen, seen};
use super::packet::{Packet, Path};
use super::ruleset::{Chain, Ruleset};
use super::settings::Inbound;

/// In which way a rule treats the two ports unlike each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unlike {
    /// It is for the mongod's port alone.
    Misses,
    /// It is for the port behind the redirect alone, or for whatever was redirected.
    Catches,
    /// It does this with the one and that with the other.
    Differs,
    /// What it does with either cannot be told.
    Unclear,
}

/// The rules of a chain that do, by index, in order.
pub(super) fn unlike(chain: &Chain, inbound: Inbound, ruleset: &Ruleset) -> Vec<(usize, Unlike)> {
    let Inbound { server_port, port } = inbound;
    let today = Packet { port: server_port, original: server_port, path: Path::In };
    let behind = Packet { port, ..today };
    let mut found = Vec::new();
    let (today, behind) = views(chain, today, behind, ruleset, &mut found);
    // All of those that are unlike are named, if any of them makes a difference.
    if !differences(&without_effect(&today), &without_effect(&behind)).is_empty() {
        found.extend(differences(&today, &behind));
    }
    found.sort_by_key(|(index, _)| *index);
    found.dedup();
    found
}

/// Rules of either view that have no counterpart in the other.
fn differences(today: &[Item], behind: &[Item]) -> Vec<(usize, Unlike)> {
    let mut found = Vec::new();
    // A rule that is the same in both splits the chain: what is in front of it has its counterpart in front of it.
    let same_rule = |one: &Item| behind.iter().any(|other| other == one);
    let mut rest = behind;
    for stretch in today.split_inclusive(same_rule) {
        let end = stretch.last().and_then(|last| rest.iter().position(|item| item == last));
        let (before, after) = rest.split_at(end.unwrap_or(rest.len()));
        pair(&stretch[..stretch.len() - usize::from(end.is_some())], before, &mut found);
        rest = after.get(usize::from(end.is_some())..).unwrap_or_default();
    }
    pair(&[], rest, &mut found);
    found
}

/// A rule by its index in the chain, and what is left of it.
type Item = (usize, Left);

/// The chain as two packets see it. What stands behind a verdict for all of both is never seen; what stands behind one for
/// all of the one is still looked at: the other's counterpart of that verdict may be missing, and is then to be added.
fn views(
    chain: &Chain,
    today: Packet,
    behind: Packet,
    ruleset: &Ruleset,
    found: &mut Vec<(usize, Unlike)>,
) -> (Vec<Item>, Vec<Item>) {
    let mut views = (Vec::new(), Vec::new());
    for (index, rule) in chain.rules.iter().enumerate() {
        let [one, other] = [today, behind].map(|packet| seen(rule, &chain.name, packet, ruleset));
        if one == Seen::Unclear || other == Seen::Unclear {
            found.push((index, Unlike::Unclear));
            continue;
        }
        let (one, other) = (left(one), left(other));
        let last = one == other && one.as_ref().is_some_and(ends);
        views.0.extend(one.map(|left| (index, left)));
        views.1.extend(other.map(|left| (index, left)));
        if last {
            break;
        }
    }
    views
}

fn left(seen: Seen) -> Option<Left> {
    match seen {
        Seen::May(left) => Some(left),
        Seen::Never | Seen::Unclear => None,
    }
}

/// Less what decides for some, just in front of the same decision for all.
fn without_effect(items: &[Item]) -> Vec<Item> {
    let Some((last, before)) = items.split_last().filter(|((_, last), _)| ends(last)) else { return items.to_vec() };
    let decides = |(_, left): &Item| left.verdict == last.1.verdict && left.statements.iter().all(is_match);
    let kept = before.iter().rposition(|item| !decides(item)).map_or(0, |at| at + 1);
    before[..kept].iter().chain([last]).cloned().collect()
}

fn is_match(statement: &Value) -> bool {
    statement.get("match").is_some()
}

/// Finds each rule's counterpart, in order; those without one are unlike.
fn pair(today: &[Item], behind: &[Item], found: &mut Vec<(usize, Unlike)>) {
    let mut left = behind.iter();
    let (mut pairs, mut missed, mut caught) = (Vec::new(), Vec::new(), Vec::new());
    for (index, one) in today {
        match left.clone().position(|(_, other)| same(one, other)) {
            None => missed.push(*index),
            Some(at) => {
                caught.extend(left.by_ref().take(at).map(|(index, _)| *index));
                pairs.extend(left.next().map(|(other, _)| (*index, *other)));
            }
        }
    }
    caught.extend(left.map(|(index, _)| *index));
    // The counterpart of a rule that has none will stand right behind it: two that stand on either side of that one do not
    // belong together.
    while let Some(at) = pairs.iter().position(|(one, other)| {
        let between = one.min(other) + 1..*one.max(other);
        missed.iter().any(|index| between.contains(index))
    }) {
        let (one, other) = pairs.swap_remove(at);
        missed.push(one);
        caught.push(other);
    }
    let differs = |index: &usize| missed.contains(index) && caught.contains(index);
    found.extend(missed.iter().map(|index| (*index, if differs(index) { Unlike::Differs } else { Unlike::Misses })));
    found.extend(caught.iter().filter(|index| !differs(index)).map(|index| (*index, Unlike::Catches)));
}

fn ends(left: &Left) -> bool {
    left.certain && matches!(left.verdict(), Some("accept" | "drop" | "reject" | "return" | "goto" | "queue"))
}

/// Whether they do the same; by what they were chosen does not matter.
fn same(one: &Left, other: &Left) -> bool {
    one.statements == other.statements && one.verdict == other.verdict
}
