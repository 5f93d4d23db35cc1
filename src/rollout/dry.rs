//! `--dry-run`: every step that would be made, and everything that would stop or delay it. It takes no lease, changes
//! nothing, and speaks to the nodes' admin ports alone.

use std::sync::Mutex;

use super::behind::{LastModes, behind};
use super::ends::{DONE, STOPPED};
use super::findings;
use super::fleet::{Fleet, NoAnswer};
use super::foresight;
use super::health;
use super::node::Node;
use super::peers;
use super::plan::{self, Step};
use super::waits::named;
use super::walk::{Survey, all_of, places, survey};
use crate::policy::{Mode, Spelling};
use crate::text::printable;

/// Where it would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    Up(Mode),
    Back(Vec<Mode>),
}

/// Says it, line by line; the exit code.
pub(super) async fn run(fleet: &Fleet, goal: &Goal, last: &LastModes, accept: &[String], say: impl Fn(String)) -> u8 {
    let nodes = match all_of(fleet.look().await) {
        Ok(nodes) => nodes,
        Err((node, error)) => {
            say(format!("would not start: {}: {error}", fleet.name(node)));
            return STOPPED;
        }
    };
    let mut stops = leased(&nodes);
    let (steps, survey) = match goal {
        Goal::Up(target) => {
            let found = findings::all(&nodes, *target);
            stops.extend((!found.is_empty()).then(|| findings::in_words(&found, &fleet.names())));
            let survey = survey(fleet, &nodes, &Mutex::default()).await;
            let survey = survey.map_err(|(node, error)| stops.push(format!("{}: {error}", fleet.name(node)))).ok();
            let strangers = survey.iter().flat_map(Survey::strangers);
            stops.extend(strangers.map(|one| format!("{} sees {}", fleet.name(one.node), one.text)));
            (plan::all_up(&places(&nodes), *target), survey)
        }
        Goal::Back(targets) => {
            if let Err((node, error)) = left_behind(fleet, &nodes, &mut stops).await {
                stops.push(format!("{}: {error}", fleet.name(node)));
            }
            (plan::all_down(&places(&nodes), targets), None)
        }
    };
    for line in stops.iter().flat_map(|text| text.lines()) {
        say(format!("would not start: {line}"));
    }
    for (node, text) in behind(&nodes, last) {
        say(format!("{}: {text}", fleet.name(node)));
    }
    for line in health::in_words(&health::unreached(&nodes), &fleet.names()).lines() {
        say(line.to_owned());
    }
    show(&nodes, &steps, &say);
    if let Some(survey) = survey {
        next_waits(fleet, &steps, &say).await;
        for (node, text) in foresight::all(&nodes, &survey.sights, &steps, accept) {
            say(format!("{}: {text}", fleet.name(node)));
        }
    } else if steps.iter().any(|step| step.to == Mode::Disabled) {
        say("before disabled, waits for applications to have left TLS (--force turns them away)".to_owned());
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

/// Clients and links that would be waited for before the first rung.
async fn next_waits(fleet: &Fleet, steps: &[Step], say: &impl Fn(String)) {
    let Some(to) = steps.first().map(|step| step.to) else { return };
    let going: Vec<_> = steps.iter().filter(|step| step.to == to).map(|step| step.node).collect();
    let answers = fleet.each(&going, |handle| async move { Ok(handle.client.ready(to, Spelling::Ssl).await?.value) });
    for (node, ready) in going.iter().zip(answers.await) {
        match ready {
            Ok(ready) if ready.blockers.is_empty() => {}
            Ok(ready) => say(format!("{}: before {to}, waits for: {}", fleet.name(*node), named(&ready.blockers))),
            Err(error) => say(format!("{}: {error}", fleet.name(*node))),
        }
    }
}

/// Live members that are not listed, which the way back stops for.
async fn left_behind(fleet: &Fleet, nodes: &[Node], stops: &mut Vec<String>) -> Result<(), (usize, NoAnswer)> {
    let survey = survey(fleet, nodes, &Mutex::default()).await?;
    let mut live = survey.strangers();
    live.extend(peers::answering(nodes, &survey.known, &survey.resolved));
    stops.extend(live.iter().map(|one| format!("{} sees {} (--force goes on)", fleet.name(one.node), one.text)));
    Ok(())
}
