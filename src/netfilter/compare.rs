//! Rules that treat the port behind the redirect unlike the port that it stands for.
//!
//! Each chain is read twice: as a connection to the mongod's port sees it today, and as the same connection sees it behind
//! the redirect. What is known of the packet is taken out of every rule; if what is left is the same, rule for rule, then
//! so is the chain's verdict, whoever connects. That a rule is there for both ports, or has a counterpart between the same
//! neighbours, comes out as the same; so does a rule that never looks at the port.

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
    let before = Packet { port: server_port, original: server_port, path: Path::In };
    let after = Packet { port, ..before };
    let mut found = Vec::new();
    let mut stretch = Stretch::default();
    let (mut ended_before, mut ended_after) = (false, false);
    for (index, rule) in chain.rules.iter().enumerate() {
        let [today, behind] = [before, after].map(|packet| seen(rule, &chain.name, packet, ruleset));
        if (today == Seen::Unclear && !ended_before) || (behind == Seen::Unclear && !ended_after) {
            found.push((index, Unlike::Unclear));
            continue;
        }
        // What stands behind a verdict for all is never seen.
        let today = left(today).filter(|_| !ended_before);
        let behind = left(behind).filter(|_| !ended_after);
        ended_before |= today.as_ref().is_some_and(ends);
        ended_after |= behind.as_ref().is_some_and(ends);
        if today.is_some() && today == behind {
            stretch.close(&mut found);
            continue;
        }
        stretch.before.extend(today.map(|left| (index, left)));
        stretch.after.extend(behind.map(|left| (index, left)));
    }
    stretch.close(&mut found);
    found.sort_by_key(|(index, _)| *index);
    found
}

/// Rules between two that are the same for both.
#[derive(Default)]
struct Stretch {
    before: Vec<(usize, Left)>,
    after: Vec<(usize, Left)>,
}

impl Stretch {
    /// Finds each rule's counterpart, in order; those without one are unlike.
    fn close(&mut self, found: &mut Vec<(usize, Unlike)>) {
        let mut after = std::mem::take(&mut self.after).into_iter().peekable();
        let mut missed: Vec<usize> = Vec::new();
        let mut caught: Vec<usize> = Vec::new();
        for (index, left) in std::mem::take(&mut self.before) {
            let has_counterpart = after.clone().any(|(_, other)| same(&left, &other));
            if !has_counterpart {
                missed.push(index);
                continue;
            }
            for (index, other) in after.by_ref() {
                if same(&left, &other) {
                    break;
                }
                caught.push(index);
            }
        }
        caught.extend(after.map(|(index, _)| index));
        let differs = |index: &usize| missed.contains(index) && caught.contains(index);
        found
            .extend(missed.iter().map(|index| (*index, if differs(index) { Unlike::Differs } else { Unlike::Misses })));
        let alone = caught.iter().filter(|index| !differs(index));
        found.extend(alone.map(|index| (*index, Unlike::Catches)));
    }
}

fn left(seen: Seen) -> Option<Left> {
    match seen {
        Seen::May(left) => Some(left),
        Seen::Never | Seen::Unclear => None,
    }
}

fn ends(left: &Left) -> bool {
    left.certain && matches!(left.verdict(), Some("accept" | "drop" | "reject" | "return" | "goto" | "queue"))
}

/// Whether they do the same; by what they were chosen does not matter.
fn same(one: &Left, other: &Left) -> bool {
    one.statements == other.statements && one.verdict == other.verdict
}
