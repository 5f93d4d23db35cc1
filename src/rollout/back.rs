//! The way back: every node to where it began, by force, one rung at a time over all nodes. See [`super::plan`] for why
//! that order is safe.

use std::time::Instant;

use super::fleet::NoAnswer;
use super::halt::Halt;
use super::node::Node;
use super::plan::{self, Step};
use super::step::How;
use super::walk::{Walk, place};
use crate::limits::{ROLLOUT_LOOK, ROLLOUT_UNREACHED};
use crate::policy::Mode;

/// Goes back. `nodes` is where they were last seen: one that cannot be reached any more holds the others at most one
/// rung below it.
///
/// All are back then; what comes back is what was not as it should be from outside, a line each.
///
/// # Errors
/// Why it does not go on, or who could not be taken back.
pub(super) async fn back(walk: &Walk, mut nodes: Vec<Node>, targets: &[Mode]) -> Result<Vec<String>, Halt> {
    let mut complaints = Vec::new();
    loop {
        walk.check()?;
        let gone = look(walk, &mut nodes).await?;
        let places: Vec<_> = nodes.iter().zip(&gone).map(|(one, gone)| place(one, gone.is_none())).collect();
        let Some(step) = plan::down(&places, targets) else {
            return finish(walk, &nodes, targets, &gone).await.map(|()| complaints);
        };
        if !step.to.accepts_tls() && !walk.force {
            // They were moved to TLS, and would be turned away by the first node that takes none.
            let going: Vec<_> =
                (0..nodes.len()).filter(|one| nodes[*one].mode > step.to && targets[*one] <= step.to).collect();
            walk.ready(&going, step.to).await?;
        }
        take(walk, step, &nodes, &mut complaints).await?;
    }
}

/// One node's step. That it is not seen from outside is said, and does not keep the others from going back.
async fn take(walk: &Walk, step: Step, nodes: &[Node], complaints: &mut Vec<String>) -> Result<(), Halt> {
    let Step { node, to } = step;
    walk.change(step, nodes[node].mode, How::Forced).await?;
    match walk.look_from_outside(node, &nodes[node], to).await {
        Ok(verified) => walk.tell(node, &verified),
        Err(Halt::Failed(why)) => {
            walk.tell(node, "changed, and not seen so from outside");
            complaints.push(why);
        }
        Err(halt @ (Halt::Stopped(_) | Halt::TakenBack(_) | Halt::Interrupted)) => return Err(halt),
    }
    Ok(())
}

/// Where the nodes are now; why not, for each that cannot be reached, after a while.
async fn look(walk: &Walk, nodes: &mut [Node]) -> Result<Vec<Option<NoAnswer>>, Halt> {
    let began = Instant::now();
    loop {
        let mut gone = Vec::new();
        for (last, now) in nodes.iter_mut().zip(walk.fleet.look().await) {
            gone.push(now.map(|now| *last = now).err());
        }
        walk.screen.places(nodes);
        if gone.iter().all(Option::is_none) || began.elapsed() >= ROLLOUT_UNREACHED {
            return Ok(gone);
        }
        walk.interrupt.pause(ROLLOUT_LOOK).await?;
    }
}

/// What is left: members' links by TLS to nodes that take none any more, and who could not be taken back.
async fn finish(walk: &Walk, nodes: &[Node], targets: &[Mode], gone: &[Option<NoAnswer>]) -> Result<(), Halt> {
    let mut left = Vec::new();
    for (node, one) in nodes.iter().enumerate() {
        if let Some(error) = &gone[node] {
            left.push(format!("{}: {error}; it was at {} when last seen", walk.fleet.name(node), one.mode));
        } else if one.mode == Mode::Disabled {
            if let Some(links) = walk.recycle(node).await? {
                walk.tell(node, &links.in_words());
            }
        } else if one.mode > targets[node] {
            left.push(format!(
                "{}: it stays at {}, one rung from a node that is gone",
                walk.fleet.name(node),
                one.mode
            ));
        }
    }
    if left.is_empty() { Ok(()) } else { Err(Halt::Failed(left.join("\n"))) }
}
