//! The next step. PURE: it is computed before each step from the nodes' present modes, so that a rollout keeps no state
//! and an interrupted one continues from the present modes.
//!
//! **Up**: the lowest rung first, so that no node takes a step before all have taken the previous one. Within a rung,
//! the primary goes last, so that a problem shows first on a member that accepts no writes.
//!
//! A proxy beside an application has outbound links only. These follow the same rule as a member's outbound links: TLS
//! from `preferSSL` on. By then every server accepts TLS, since all nodes have passed `allowSSL`. No server requires
//! TLS before all nodes dial TLS, since all pass `preferSSL` before any takes `requireSSL`. So any order within a rung
//! is safe. The step of such a proxy affects writes, so it comes after the secondaries and before the primary or, where
//! the primary goes first (see Down), after the primary and before the secondaries.
//!
//! **Down**: all nodes on the highest rung first, one rung at a time. So no node dials plaintext or refuses TLS before
//! all others are prepared: when the first node dials plaintext again (`allowSSL`), all have left `requireSSL`; when
//! the first node refuses TLS (`disabled`), all dial plaintext. Any order within a rung is safe for the links between
//! nodes. The order is chosen for clients: in the step to `disabled`, which refuses TLS clients, the primary goes last;
//! in the other steps, it goes first.

use crate::policy::Mode;

/// The position of a node on the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) mode: Mode,
    pub(super) role: Role,
    /// Whether the node can take a step. If it cannot, the other nodes do not go past its rung either.
    pub(super) able: bool,
}

/// The role of a node, which determines whose traffic its step affects. On the way up, nodes go in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// A member that accepts no writes, a standalone, a mongos, or a server whose state is unknown.
    Other,
    /// A proxy beside an application.
    Outbound,
    Primary,
}

/// A step of a node, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlannedStep {
    pub(super) node: usize,
    pub(super) to: Mode,
}

/// The next step up to a mode. `None`: no node is below the mode, or no node on the lowest rung is able to step.
pub(super) fn up(positions: &[Position], target: Mode) -> Option<PlannedStep> {
    let lowest = positions.iter().map(|position| position.mode).min().filter(|mode| *mode < target)?;
    let to = above(lowest)?;
    first(positions, |position| position.mode == lowest, false).map(|node| PlannedStep { node, to })
}

/// The next step down to each node's target. `None`: no node is above its target; or, among the nodes above their
/// targets, those on the highest rung are not able to step.
pub(super) fn down(positions: &[Position], targets: &[Mode]) -> Option<PlannedStep> {
    let left = |node: usize, position: &Position| targets.get(node).is_some_and(|target| position.mode > *target);
    let above_target = positions.iter().enumerate().filter(|(node, position)| left(*node, position));
    let highest = above_target.map(|(_, position)| position.mode).max()?;
    let to = below(highest)?;
    let going: Vec<_> = positions
        .iter()
        .enumerate()
        .map(|(node, position)| Position {
            able: position.able && left(node, position) && position.mode == highest,
            ..*position
        })
        .collect();
    first(&going, |_| true, to.accepts_tls()).map(|node| PlannedStep { node, to })
}

/// All steps up, in order.
pub(super) fn all_up(positions: &[Position], target: Mode) -> Vec<PlannedStep> {
    all(positions, |positions| up(positions, target))
}

/// All steps down, in order.
pub(super) fn all_down(positions: &[Position], targets: &[Mode]) -> Vec<PlannedStep> {
    all(positions, |positions| down(positions, targets))
}

fn all(positions: &[Position], next: impl Fn(&[Position]) -> Option<PlannedStep>) -> Vec<PlannedStep> {
    let mut positions = positions.to_vec();
    std::iter::from_fn(|| {
        let step = next(&positions)?;
        positions[step.node].mode = step.to;
        Some(step)
    })
    .collect()
}

/// The first node for which `may` holds, in list order, with primaries either last or first.
fn first(positions: &[Position], may: impl Fn(&Position) -> bool, primary_first: bool) -> Option<usize> {
    let found =
        |role: Role| positions.iter().position(|position| position.able && position.role == role && may(position));
    let mut roles = [Role::Other, Role::Outbound, Role::Primary];
    if primary_first {
        roles.reverse();
    }
    roles.into_iter().find_map(found)
}

fn above(mode: Mode) -> Option<Mode> {
    Mode::ALL.into_iter().find(|next| *next as u8 == mode as u8 + 1)
}

fn below(mode: Mode) -> Option<Mode> {
    Mode::ALL.into_iter().find(|next| *next as u8 + 1 == mode as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{PlannedStep, Position, Role, all_down, all_up, down, up};
    use crate::policy::Mode::{self, Allow, Disabled, Prefer, Require};
    use crate::policy::Spelling;

    /// Whether every node is within one rung of every other.
    fn together(positions: &[Position]) -> bool {
        let modes = || positions.iter().map(|position| position.mode as u8);
        modes().max().unwrap_or(0) - modes().min().unwrap_or(0) <= 1
    }

    fn positions(modes: &[Mode], primary: usize) -> Vec<Position> {
        let role = |node: usize| if node == primary { Role::Primary } else { Role::Other };
        let position = |(node, mode): (usize, &Mode)| Position { mode: *mode, role: role(node), able: true };
        modes.iter().enumerate().map(position).collect()
    }

    fn steps(steps: &[PlannedStep]) -> Vec<(usize, Mode)> {
        steps.iter().map(|step| (step.node, step.to)).collect()
    }

    #[test]
    fn up_goes_by_rungs_with_the_primary_last() {
        let ladder = all_up(&positions(&[Disabled; 3], 0), Prefer);
        let rungs = [Allow, Prefer].map(|to| [1, 2, 0].map(|node| (node, to)));
        assert_eq!(steps(&ladder), rungs.concat());
        assert_eq!(
            steps(&all_up(&positions(&[Require, Allow, Prefer], 0), Require)),
            [(1, Prefer), (1, Require), (2, Require)]
        );
        assert_eq!(up(&positions(&[Prefer, Require], 0), Prefer), None, "no node is below");
        assert_eq!(up(&[], Require), None);
    }

    #[test]
    fn down_goes_by_rungs_with_the_primary_where_it_helps_clients() {
        let ladder = all_down(&positions(&[Require; 3], 1), &[Disabled; 3]);
        let expected = [
            (1, Prefer),
            (0, Prefer),
            (2, Prefer),
            (1, Allow),
            (0, Allow),
            (2, Allow),
            (0, Disabled),
            (2, Disabled),
            (1, Disabled),
        ];
        assert_eq!(steps(&ladder), expected);
        let own = all_down(&positions(&[Prefer, Prefer], 0), &[Disabled, Allow]);
        assert_eq!(steps(&own), [(0, Allow), (1, Allow), (0, Disabled)], "each to where it began");
        assert_eq!(down(&positions(&[Disabled, Allow], 0), &[Disabled, Allow]), None);
    }

    #[test]
    fn a_proxy_beside_an_application_comes_next_to_the_primary() {
        let mut four = positions(&[Disabled; 4], 1);
        four[0].role = Role::Outbound;
        assert_eq!(steps(&all_up(&four, Allow)), [2, 3, 0, 1].map(|node| (node, Allow)));
        four.iter_mut().for_each(|position| position.mode = Require);
        assert_eq!(steps(&all_down(&four, &[Prefer; 4])), [1, 0, 2, 3].map(|node| (node, Prefer)));
    }

    #[test]
    fn a_node_that_is_not_able_holds_the_others_back() {
        let mut three = positions(&[Require, Prefer, Require], 1);
        three[0].able = false;
        assert_eq!(steps(&all_down(&three, &[Disabled; 3])), [(2, Prefer)], "none more than one rung below it");
        three[0].mode = Prefer;
        assert_eq!(steps(&all_up(&three, Require)), [(1, Require)], "a node on its rung may go, and none further");
    }

    fn modes() -> impl Strategy<Value = Mode> {
        prop::sample::select(Mode::ALL.to_vec())
    }

    fn mixtures() -> impl Strategy<Value = (Vec<Position>, Mode)> {
        let roles = prop::sample::select(vec![Role::Other, Role::Outbound, Role::Primary]);
        let position = (modes(), roles).prop_map(|(mode, role)| Position { mode, role, able: true });
        (prop::collection::vec(position, 1..8), modes())
    }

    proptest! {
        /// From any combination of modes: one legal step at a time, from the lowest rung, secondaries first, until no
        /// node is below.
        #[test]
        fn up_is_one_legal_step_at_a_time((mut positions, target) in mixtures()) {
            let mut count = 0;
            while let Some(PlannedStep { node, to }) = up(&positions, target) {
                let from = positions[node].mode;
                prop_assert!(from.step_to(to, Spelling::Ssl).is_ok() && to <= target);
                prop_assert!(positions.iter().all(|other| other.mode >= from), "all have the previous step");
                let waiting = |other: &Position| other.mode == from && other.role < positions[node].role;
                prop_assert!(!positions.iter().any(waiting), "secondaries first, the primary last");
                let was = together(&positions);
                positions[node].mode = to;
                prop_assert!(!was || together(&positions), "once together, together for good");
                count += 1;
                prop_assert!(count <= 3 * positions.len());
            }
            prop_assert!(positions.iter().all(|position| position.mode >= target));
        }

        /// From any combination of modes, back to any modes: one rung at a time, from the highest, until each node is
        /// at its target.
        #[test]
        fn down_is_one_rung_at_a_time((mut positions, _) in mixtures(), targets in prop::collection::vec(modes(), 8)) {
            let targets = &targets[..positions.len()];
            let began = positions.clone();
            while let Some(PlannedStep { node, to }) = down(&positions, targets) {
                let from = positions[node].mode;
                prop_assert!(to.step_to(from, Spelling::Ssl).is_ok() && to >= targets[node]);
                let above = positions.iter().zip(targets).any(|(other, target)| other.mode > from && other.mode > *target);
                prop_assert!(!above, "no node that goes down is left above");
                positions[node].mode = to;
            }
            for ((position, target), began) in positions.iter().zip(targets).zip(began) {
                prop_assert_eq!(position.mode, began.mode.min(*target));
            }
        }
    }
}
