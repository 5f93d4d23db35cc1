//! The upgrade: one step at a time, until every node is in the target mode.

use super::context::Rollout;
use super::halt::Halt;
use super::node::{Node, positions};
use super::plan::{self, PlannedStep};
use super::reachability::UnreachedServers;
use super::step::Safety;
use crate::policy::Mode;

/// Upgrades from the nodes' present modes. `unreached` are the servers that were unreachable before the first step.
///
/// # Errors
/// The reason for stopping. If all nodes were within one rung of each other before, they still are, so they work
/// together.
pub(super) async fn upgrade(rollout: &Rollout, target: Mode, unreached: &UnreachedServers) -> Result<(), Halt> {
    loop {
        let nodes = rollout.healthy(target).await?;
        rollout.no_unlisted(&nodes).await?;
        rollout.give_names(&nodes).await?;
        match plan::up(&positions(&nodes), target) {
            Some(step) => take(rollout, step, &nodes).await?,
            None => return finish(rollout, &nodes, target, unreached).await,
        }
    }
}

async fn take(rollout: &Rollout, step: PlannedStep, nodes: &[Node]) -> Result<(), Halt> {
    let PlannedStep { node, to } = step;
    let mut waited_for = vec![node];
    if to == Mode::Require {
        // No node requires TLS while any node has plaintext links or plaintext clients, because a driver connects to
        // all members of a set.
        waited_for = (0..nodes.len()).filter(|one| nodes[*one].mode < to).collect();
        rollout.move_all(&waited_for).await?;
    }
    loop {
        rollout.ready(&waited_for, to).await?;
        if rollout.change(step, nodes[node].mode, Safety::Guarded).await? {
            break;
        }
    }
    let verified = rollout.check_from_outside(node, &nodes[node], to).await?;
    match to {
        // The node's own links are recycled at this step, while every other node accepts both TLS and plaintext.
        Mode::Prefer => rollout.move_all(&[node]).await?,
        // Connections of accepted clients may remain.
        Mode::Require => {
            if let Some(remaining) = rollout.recycle(node).await? {
                rollout.tell(node, &remaining.text());
            }
        }
        Mode::Disabled | Mode::Allow => {}
    }
    rollout.all_still_reached(nodes, node, to).await?;
    rollout.tell(node, &verified);
    rollout.display.activity(node, format!("done: {to}"));
    Ok(())
}

/// Completes what an interrupted rollout may have left undone at nodes that are in the target mode.
async fn finish(rollout: &Rollout, nodes: &[Node], target: Mode, unreached: &UnreachedServers) -> Result<(), Halt> {
    rollout.all_reached(nodes, unreached).await?;
    if target == Mode::Prefer {
        rollout.move_all(&rollout.fleet.all()).await?;
    }
    for (place, node) in nodes.iter().enumerate().filter(|(_, node)| node.status.drift.is_some()) {
        // Requesting the mode in force again persists it.
        rollout.change(PlannedStep { node: place, to: node.mode }, node.mode, Safety::Guarded).await?;
    }
    Ok(())
}
