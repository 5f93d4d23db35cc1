//! `--dry-run`: every step that would be made, and everything that would stop or delay it. It takes no lease, changes
//! nothing, and speaks to no node but by its admin port.

use std::sync::Mutex;

use super::ends::{DONE, STOPPED};
use super::findings;
use super::fleet::Fleet;
use super::node::Node;
use super::peers::Resolved;
use super::plan::{self, Step};
use super::waits::named;
use super::walk::{all_of, places, strangers};
use crate::policy::{Mode, Spelling};
use crate::text::printable;

/// Where it would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    Up(Mode),
    Back(Vec<Mode>),
}

/// Says it, line by line; the exit code.
pub(super) async fn run(fleet: &Fleet, goal: &Goal, say: impl Fn(String)) -> u8 {
    let nodes = match all_of(fleet.look().await) {
        Ok(nodes) => nodes,
        Err((node, error)) => {
            say(format!("would not start: {}: {error}", fleet.name(node)));
            return STOPPED;
        }
    };
    let mut stops = leased(&nodes);
    let steps = match goal {
        Goal::Up(target) => {
            let found = findings::all(&nodes, *target);
            stops.extend((!found.is_empty()).then(|| findings::in_words(&found, &fleet.names())));
            match strangers(fleet, &nodes, &Mutex::<Resolved>::default()).await {
                Ok(found) => {
                    stops.extend(found.iter().map(|one| format!("{} sees {}", fleet.name(one.node), one.text)))
                }
                Err((node, error)) => stops.push(format!("{}: {error}", fleet.name(node))),
            }
            plan::all_up(&places(&nodes), *target)
        }
        Goal::Back(targets) => plan::all_down(&places(&nodes), targets),
    };
    for line in stops.iter().flat_map(|text| text.lines()) {
        say(format!("would not start: {line}"));
    }
    show(&nodes, &steps, &say);
    if let Some(first) = steps.first() {
        waits(fleet, &nodes, first.to, &steps, &say).await;
    }
    if stops.is_empty() { DONE } else { STOPPED }
}

fn leased(nodes: &[Node]) -> Vec<String> {
    let line = |node: &Node| {
        let (holder, seconds) = node.lease.as_ref()?;
        Some(format!("{}: {} holds the lease for another {seconds} s", node.name, printable(holder)))
    };
    nodes.iter().filter_map(line).collect()
}

fn show(nodes: &[Node], steps: &[Step], say: &impl Fn(String)) {
    let mut modes: Vec<_> = nodes.iter().map(|node| node.mode).collect();
    for (number, Step { node, to }) in steps.iter().enumerate() {
        let from = std::mem::replace(&mut modes[*node], *to);
        say(format!("{:3}. {} ({}): {from} -> {to}", number + 1, nodes[*node].name, nodes[*node].state()));
    }
    if steps.is_empty() {
        say("nothing to do: every node is there".to_owned());
    }
}

/// Who would be waited for: before the first step, and before `requireSSL` as far as is known now.
async fn waits(fleet: &Fleet, nodes: &[Node], first: Mode, steps: &[Step], say: &impl Fn(String)) {
    let going: Vec<_> =
        (0..nodes.len()).filter(|node| steps.iter().any(|step| step.node == *node && step.to == first)).collect();
    let answers =
        fleet.each(&going, |handle| async move { Ok(handle.client.ready(first, Spelling::Ssl).await?.value) });
    for (node, ready) in going.iter().zip(answers.await) {
        match ready {
            Ok(ready) if ready.blockers.is_empty() => {}
            Ok(ready) => say(format!("{}: before {first}, waits for: {}", fleet.name(*node), named(&ready.blockers))),
            Err(error) => say(format!("{}: {error}", fleet.name(*node))),
        }
    }
    if first == Mode::Require || !steps.iter().any(|step| step.to == Mode::Require) {
        return;
    }
    // Not by asking whether they are ready: that would try TLS to servers that take none yet.
    for (node, sight) in fleet.sights().await.iter().enumerate() {
        for row in sight.iter().flat_map(|sight| &sight.clients).filter(|row| row.blocks && !row.member) {
            let name = row.application.as_deref().or(row.driver.as_deref()).unwrap_or("an unknown client");
            let line = format!(
                "{}: before requireSSL, waits for: {} at {}",
                fleet.name(node),
                printable(name),
                printable(&row.ip)
            );
            say(line);
        }
    }
}
