//! `--dry-run`: every step that would be made, and everything that would stop or delay it. It takes no lease, changes
//! nothing, and contacts nothing but the nodes' admin ports and the resolver.

use super::blockers;
use super::fleet::{Fleet, all_of};
use super::forecast;
use super::health;
use super::lagging::{LastModes, lagging};
use super::node::{Node, positions};
use super::plan::{self, PlannedStep};
use super::reachability;
use super::summary::{DONE, STOPPED};
use super::survey::{lines, survey};
use crate::admin::replies::LeaseStatus;
use crate::policy::{Mode, Spelling};
use crate::text::printable;

/// The target mode of all nodes, or of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Goal {
    Up(Mode),
    Back(Vec<Mode>),
}

/// Prints the report line by line; returns the exit code.
pub(super) async fn run(fleet: &Fleet, goal: &Goal, last: &LastModes, accept: &[String], say: impl Fn(String)) -> u8 {
    let nodes = match all_of(fleet.look().await) {
        Ok(nodes) => nodes,
        Err((node, error)) => {
            say(format!("would not start: {}: {error}", fleet.name(node)));
            return STOPPED;
        }
    };
    let mut stops = leased(&nodes);
    if let Goal::Up(target) = goal {
        let problems = health::problems(&nodes, *target);
        stops.extend((!problems.is_empty()).then(|| health::text(&problems, &fleet.names())));
    }
    let survey = survey(fleet, &nodes, &Default::default()).await;
    let survey = survey.map_err(|(node, error)| stops.push(format!("{}: {error}", fleet.name(node)))).ok();
    let steps = match goal {
        Goal::Up(target) => {
            stops.extend(survey.iter().flat_map(|survey| lines(fleet, &survey.unlisted())));
            plan::all_up(&positions(&nodes), *target)
        }
        Goal::Back(targets) => {
            let left_behind = survey.iter().flat_map(|survey| lines(fleet, &survey.left_behind(&nodes)));
            stops.extend(left_behind.map(|line| format!("{line} (--force continues)")));
            plan::all_down(&positions(&nodes), targets)
        }
    };
    for line in stops.iter().flat_map(|text| text.lines()) {
        say(format!("would not start: {line}"));
    }
    for (node, text) in lagging(&nodes, last) {
        say(format!("{}: {text}", fleet.name(node)));
    }
    reachability::text(&reachability::unreached(&nodes), &fleet.names()).lines().for_each(|line| say(line.to_owned()));
    if stops.is_empty() || !steps.is_empty() {
        show(&nodes, &steps, &say);
    }
    match (goal, survey) {
        (Goal::Up(_), Some(survey)) => {
            next_waits(fleet, &steps, &say).await;
            for (node, text) in forecast::all(&nodes, &survey.observed, &steps, accept) {
                say(format!("{}: {text}", fleet.name(node)));
            }
        }
        _ if steps.iter().any(|step| step.to == Mode::Disabled) => {
            say("before disabled, waits until applications have left TLS (--force refuses them instead)".to_owned());
        }
        _ => {}
    }
    if stops.is_empty() { DONE } else { STOPPED }
}

fn leased(nodes: &[Node]) -> Vec<String> {
    let line = |node: &Node| {
        let LeaseStatus { holder, seconds_left, .. } = node.status.lease.as_ref()?;
        Some(format!("{}: {} holds the lease for another {seconds_left} s", node.name, printable(holder)))
    };
    nodes.iter().filter_map(line).collect()
}

fn show(nodes: &[Node], steps: &[PlannedStep], say: &impl Fn(String)) {
    let mut modes: Vec<_> = nodes.iter().map(|node| node.mode).collect();
    for (number, PlannedStep { node, to }) in steps.iter().enumerate() {
        let from = std::mem::replace(&mut modes[*node], *to);
        say(format!("{:3}. {} ({}): {from} -> {to}", number + 1, nodes[*node].name, nodes[*node].state()));
    }
    if steps.is_empty() {
        say("nothing to do: every node is in the target mode".to_owned());
    }
}

/// The blockers of the first rung, as the nodes report them.
async fn next_waits(fleet: &Fleet, steps: &[PlannedStep], say: &impl Fn(String)) {
    let Some(to) = steps.first().map(|step| step.to) else { return };
    let going: Vec<_> = steps.iter().filter(|step| step.to == to).map(|step| step.node).collect();
    let answers = fleet.each(&going, |handle| async move { Ok(handle.client.ready(to, Spelling::Ssl).await?.value) });
    for (node, ready) in going.iter().zip(answers.await) {
        let name = fleet.name(*node);
        match ready {
            Ok(ready) if ready.blockers.is_empty() => {}
            Ok(ready) => say(format!("{name}: before {to}, waits for: {}", blockers::in_a_line(&ready.blockers))),
            Err(error) => say(format!("{name}: {error}")),
        }
    }
}
