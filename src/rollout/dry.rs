//! `--dry-run`: every step that would be made, and everything that would stop or delay it. It takes no lease, changes
//! nothing, and speaks to no node but by its admin port.

use std::sync::Mutex;

use super::ends::{DONE, STOPPED};
use super::findings;
use super::fleet::Fleet;
use super::node::Node;
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
pub(super) async fn run(fleet: &Fleet, goal: &Goal, say: impl Fn(String)) -> u8 {
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
        Goal::Back(targets) => (plan::all_down(&places(&nodes), targets), None),
    };
    for line in stops.iter().flat_map(|text| text.lines()) {
        say(format!("would not start: {line}"));
    }
    show(&nodes, &steps, &say);
    if let Some(survey) = survey {
        next_waits(fleet, &steps, &say).await;
        later_waits(fleet, &survey, &steps, &say);
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

/// Who would be waited for before the first rung.
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

/// Who would be waited for before `requireSSL`, as far as is known now. Not by asking whether the nodes are ready: that
/// would try TLS to servers that take none yet.
fn later_waits(fleet: &Fleet, survey: &Survey, steps: &[Step], say: &impl Fn(String)) {
    let requires = |step: &Step| step.to == Mode::Require;
    if steps.first().is_none_or(requires) || !steps.iter().any(requires) {
        return;
    }
    for (node, sight) in survey.sights.iter().enumerate() {
        for row in sight.clients.iter().filter(|row| row.blocks && !row.member) {
            let name = row.application.as_deref().or(row.driver.as_deref());
            // The nodes' own probes of each other give no name. They follow the mode, as members do.
            if name.is_some() || !survey.known.has_ip(&row.ip) {
                let (name, ip) = (printable(name.unwrap_or("an unknown client")), printable(&row.ip));
                say(format!("{}: before requireSSL, waits for: {name} at {ip}", fleet.name(node)));
            }
        }
    }
}
