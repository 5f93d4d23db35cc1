//! The way up: one step at a time, until every node is at the mode wanted.

use super::halt::Halt;
use super::health::Unreached;
use super::node::Node;
use super::plan::{self, Step};
use super::step::How;
use super::walk::{Walk, places};
use crate::policy::Mode;

/// Goes up, from wherever the nodes are.
///
/// # Errors
/// Why it does not go on. The nodes are within one rung of each other then, which is a mixture that works.
pub(super) async fn up(walk: &Walk, target: Mode, start: &Unreached) -> Result<(), Halt> {
    loop {
        let nodes = walk.healthy(target).await?;
        walk.no_strangers(&nodes).await?;
        walk.exchange_names(&nodes).await?;
        let Some(step) = plan::up(&places(&nodes), target) else { return finish(walk, &nodes, target, start).await };
        take(walk, step, &nodes).await?;
    }
}

/// One node's step: wait, change, look from outside, move its old links, look at the health of all.
async fn take(walk: &Walk, step: Step, nodes: &[Node]) -> Result<(), Halt> {
    let Step { node, to } = step;
    let below: Vec<_> = (0..nodes.len()).filter(|one| nodes[*one].mode < to).collect();
    if to == Mode::Require {
        // No node requires TLS while any of them still has links without.
        walk.moved(&below).await?;
    }
    // Nor while any knows a client without: drivers connect to all members.
    let asked = if to == Mode::Require { below } else { vec![node] };
    loop {
        walk.ready(&asked, to).await?;
        if walk.change(step, nodes[node].mode, How::Guarded).await? {
            break;
        }
    }
    let verified = walk.look_from_outside(node, &nodes[node], to).await?;
    match to {
        // Its own links first, while every other node takes both kinds.
        Mode::Prefer => walk.moved(&[node]).await?,
        // Who was accepted by name goes too; what cannot be moved is told, and hurts nobody.
        Mode::Require => {
            if let Some(left) = walk.recycle(node).await? {
                walk.tell(node, &left.in_words());
            }
        }
        Mode::Disabled | Mode::Allow => {}
    }
    walk.all_still_reached(nodes, node, to).await?;
    walk.tell(node, &verified);
    walk.screen.busy(node, format!("done: {to}"));
    Ok(())
}

/// What an interrupted rollout may have left undone at nodes that have arrived.
async fn finish(walk: &Walk, nodes: &[Node], target: Mode, start: &Unreached) -> Result<(), Halt> {
    walk.all_reached(nodes, start).await?;
    if target == Mode::Prefer {
        walk.moved(&walk.fleet.all()).await?;
    }
    for (node, one) in nodes.iter().enumerate() {
        // The mode in force, asked for again, so that a restart keeps it.
        if one.drift.is_some() {
            walk.change(Step { node, to: one.mode }, one.mode, How::Guarded).await?;
        }
    }
    Ok(())
}
