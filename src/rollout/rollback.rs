//! The rollback: every node goes back to its target by forced changes. All nodes above a rung go down to it before any
//! goes further. [`super::plan`] explains why that order is safe.

use std::time::Instant;

use super::context::Rollout;
use super::fleet::AnswerError;
use super::halt::Halt;
use super::limits::{POLL, UNREACHED};
use super::node::Node;
use super::plan::{self, PlannedStep};
use super::step::Safety;
use crate::policy::Mode;

/// Goes back from the last known state, `nodes`. While a node is unreachable, the others stop at most one rung below
/// it.
///
/// On success all nodes are back. The result has a line for each node that failed its check from outside.
///
/// # Errors
/// The reason for stopping, or the nodes that could not be taken back.
pub(super) async fn roll_back(rollout: &Rollout, mut nodes: Vec<Node>, targets: &[Mode]) -> Result<Vec<String>, Halt> {
    let mut complaints = Vec::new();
    loop {
        rollout.check()?;
        let unreached = look(rollout, &mut nodes).await?;
        let positions: Vec<_> =
            nodes.iter().zip(&unreached).map(|(node, error)| node.position(error.is_none())).collect();
        let Some(step) = plan::down(&positions, targets) else {
            return finish(rollout, &nodes, targets, &unreached).await.map(|()| complaints);
        };
        if !step.to.accepts_tls() && !rollout.force {
            // The first node that refuses TLS would refuse clients that have moved to TLS.
            let going: Vec<_> =
                (0..nodes.len()).filter(|one| nodes[*one].mode > step.to && targets[*one] <= step.to).collect();
            rollout.ready(&going, step.to).await?;
        }
        complaints.extend(take(rollout, step, &nodes).await?);
    }
}

/// Takes one step. A node that fails its check from outside does not stop the rollback of the others.
async fn take(rollout: &Rollout, step: PlannedStep, nodes: &[Node]) -> Result<Option<String>, Halt> {
    let PlannedStep { node, to } = step;
    rollout.change(step, nodes[node].mode, Safety::Forced).await?;
    match rollout.check_from_outside(node, &nodes[node], to).await {
        Ok(verified) => {
            rollout.tell(node, &verified);
            Ok(None)
        }
        Err(Halt::Failed(why)) => {
            rollout.tell(node, "changed, but the check from outside failed");
            Ok(Some(why))
        }
        Err(halt @ (Halt::Stopped(_) | Halt::TakenBack(_) | Halt::Interrupted)) => Err(halt),
    }
}

/// Updates the state of the nodes. Returns an error for each node that stayed unreachable.
async fn look(rollout: &Rollout, nodes: &mut [Node]) -> Result<Vec<Option<AnswerError>>, Halt> {
    let began = Instant::now();
    loop {
        let mut unreached = Vec::new();
        for (last, now) in nodes.iter_mut().zip(rollout.fleet.look().await) {
            unreached.push(now.map(|now| *last = now).err());
        }
        rollout.display.nodes(nodes);
        if unreached.iter().all(Option::is_none) || began.elapsed() >= UNREACHED {
            return Ok(unreached);
        }
        rollout.interrupt.pause(POLL).await?;
    }
}

/// Recycles the remaining TLS connections of nodes that no longer accept TLS, and names the nodes that could not be
/// taken back.
async fn finish(
    rollout: &Rollout,
    nodes: &[Node],
    targets: &[Mode],
    unreached: &[Option<AnswerError>],
) -> Result<(), Halt> {
    let mut left = Vec::new();
    for (place, node) in nodes.iter().enumerate() {
        let name = rollout.fleet.name(place);
        if let Some(error) = &unreached[place] {
            left.push(format!("{name}: {error}; its last known mode is {}", node.mode));
        } else if node.mode == Mode::Disabled {
            if let Some(remaining) = rollout.recycle(place).await? {
                rollout.tell(place, &remaining.text());
            }
        } else if node.mode > targets[place] {
            left.push(format!("{name}: it stays in {}, one rung below an unreachable node", node.mode));
        }
    }
    if left.is_empty() { Ok(()) } else { Err(Halt::Failed(left.join("\n"))) }
}
