//! Whose step is next. PURE: asked again before each step, with where the nodes are then, so that a rollout needs no
//! memory of its own, and one that was interrupted goes on where the nodes are.
//!
//! **Up**: the lowest rung first, so that no node takes a step before all have the previous one; on a rung, the primary
//! last: whatever a step shows, it shows on a member that serves no writes.
//!
//! A proxy beside an application has outbound links and no acceptance. Its links follow the same rule as a member's: it
//! dials TLS from `preferSSL` on, when every server takes it (`allowSSL`), and no server requires TLS (`requireSSL`)
//! before all nodes, this one too, dial it. So it is safe anywhere within a rung. Since its step affects writes, it
//! comes after the secondaries and before the primary, and the other way about where the primary goes first.
//!
//! **Down**: the highest rung first, all nodes, one rung at a time. So a link narrows only when every acceptance is wide
//! enough: when the first node dials plaintext again (`allowSSL`), all have left `requireSSL`; when the first refuses TLS
//! (`disabled`), all dial plaintext. Any order within a rung is therefore safe for the links between nodes, and it is
//! chosen for clients: the primary first where a step lets clients in that were refused, last where it refuses some.

use crate::policy::Mode;

/// Where a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) mode: Mode,
    pub(super) role: Role,
    /// Whether it can take a step. One that cannot still holds the others back.
    pub(super) able: bool,
}

/// What a node's step affects: the lower go first on the way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// A member without writes, a standalone, or a mongos.
    Other,
    /// A proxy beside an application.
    Outbound,
    /// The primary.
    Primary,
}

/// A node's next step, by its place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) node: usize,
    pub(super) to: Mode,
}

/// The next step up to a mode; none where nobody is below it, or nobody who may go first is able.
pub(super) fn up(places: &[Place], target: Mode) -> Option<Step> {
    let lowest = places.iter().map(|place| place.mode).min().filter(|mode| *mode < target)?;
    let to = above(lowest)?;
    first(places, |place| place.mode == lowest, false).map(|node| Step { node, to })
}

/// The next step down to each node's own mode. None where nobody is above it, or nobody who may go first is able.
pub(super) fn down(places: &[Place], targets: &[Mode]) -> Option<Step> {
    let left = |node: usize, place: &Place| targets.get(node).is_some_and(|target| place.mode > *target);
    let above_target = places.iter().enumerate().filter(|(node, place)| left(*node, place));
    let highest = above_target.map(|(_, place)| place.mode).max()?;
    let to = below(highest)?;
    let going: Vec<_> = places
        .iter()
        .enumerate()
        .map(|(node, place)| Place { able: place.able && left(node, place) && place.mode == highest, ..*place })
        .collect();
    first(&going, |_| true, to.accepts_tls()).map(|node| Step { node, to })
}

/// All steps up from here, in order.
pub(super) fn all_up(places: &[Place], target: Mode) -> Vec<Step> {
    let mut places = places.to_vec();
    std::iter::from_fn(|| {
        let step = up(&places, target)?;
        places[step.node].mode = step.to;
        Some(step)
    })
    .collect()
}

/// All steps down from here, in order.
pub(super) fn all_down(places: &[Place], targets: &[Mode]) -> Vec<Step> {
    let mut places = places.to_vec();
    std::iter::from_fn(|| {
        let step = down(&places, targets)?;
        places[step.node].mode = step.to;
        Some(step)
    })
    .collect()
}

/// The first that may, in the order given, primaries last, or first.
fn first(places: &[Place], may: impl Fn(&Place) -> bool, primary_first: bool) -> Option<usize> {
    let found = |role: Role| places.iter().position(|place| place.able && place.role == role && may(place));
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

    use super::{Place, Role, Step, all_down, all_up, down, up};
    use crate::policy::Mode::{self, Allow, Disabled, Prefer, Require};
    use crate::policy::Spelling;

    /// Whether every node is within one rung of every other.
    fn together(places: &[Place]) -> bool {
        let modes = || places.iter().map(|place| place.mode as u8);
        modes().max().unwrap_or(0) - modes().min().unwrap_or(0) <= 1
    }

    fn places(modes: &[Mode], primary: usize) -> Vec<Place> {
        let role = |node: usize| if node == primary { Role::Primary } else { Role::Other };
        let place = |(node, mode): (usize, &Mode)| Place { mode: *mode, role: role(node), able: true };
        modes.iter().enumerate().map(place).collect()
    }

    fn steps(steps: &[Step]) -> Vec<(usize, Mode)> {
        steps.iter().map(|step| (step.node, step.to)).collect()
    }

    #[test]
    fn up_goes_by_rungs_with_the_primary_last() {
        let ladder = all_up(&places(&[Disabled; 3], 0), Prefer);
        let rungs = [Allow, Prefer].map(|to| [1, 2, 0].map(|node| (node, to)));
        assert_eq!(steps(&ladder), rungs.concat());
        assert_eq!(
            steps(&all_up(&places(&[Require, Allow, Prefer], 0), Require)),
            [(1, Prefer), (1, Require), (2, Require)]
        );
        assert_eq!(up(&places(&[Prefer, Require], 0), Prefer), None, "nobody is below");
        assert_eq!(up(&[], Require), None);
    }

    #[test]
    fn down_goes_by_rungs_with_the_primary_where_it_helps_clients() {
        let ladder = all_down(&places(&[Require; 3], 1), &[Disabled; 3]);
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
        let own = all_down(&places(&[Prefer, Prefer], 0), &[Disabled, Allow]);
        assert_eq!(steps(&own), [(0, Allow), (1, Allow), (0, Disabled)], "each to where it began");
        assert_eq!(down(&places(&[Disabled, Allow], 0), &[Disabled, Allow]), None);
    }

    #[test]
    fn a_proxy_beside_an_application_comes_next_to_the_primary() {
        let mut four = places(&[Disabled; 4], 1);
        four[0].role = Role::Outbound;
        assert_eq!(steps(&all_up(&four, Allow)), [2, 3, 0, 1].map(|node| (node, Allow)));
        four.iter_mut().for_each(|place| place.mode = Require);
        assert_eq!(steps(&all_down(&four, &[Prefer; 4])), [1, 0, 2, 3].map(|node| (node, Prefer)));
    }

    #[test]
    fn who_is_not_able_holds_the_others_back() {
        let mut three = places(&[Require, Prefer, Require], 1);
        three[0].able = false;
        assert_eq!(steps(&all_down(&three, &[Disabled; 3])), [(2, Prefer)], "none more than one rung below it");
        three[0].mode = Prefer;
        assert_eq!(steps(&all_up(&three, Require)), [(1, Require)], "who is on its rung may go, and none further");
    }

    fn modes() -> impl Strategy<Value = Mode> {
        prop::sample::select(Mode::ALL.to_vec())
    }

    fn mixtures() -> impl Strategy<Value = (Vec<Place>, Mode)> {
        let roles = prop::sample::select(vec![Role::Other, Role::Outbound, Role::Primary]);
        let place = (modes(), roles).prop_map(|(mode, role)| Place { mode, role, able: true });
        (prop::collection::vec(place, 1..8), modes())
    }

    proptest! {
        /// From any mixture: one legal step at a time, from the lowest rung, secondaries first, until nobody is below.
        #[test]
        fn up_is_one_legal_step_at_a_time((mut places, target) in mixtures()) {
            let mut count = 0;
            while let Some(Step { node, to }) = up(&places, target) {
                let from = places[node].mode;
                prop_assert!(from.step_to(to, Spelling::Ssl).is_ok() && to <= target);
                prop_assert!(places.iter().all(|other| other.mode >= from), "all have the previous step");
                let waiting = |other: &Place| other.mode == from && other.role < places[node].role;
                prop_assert!(!places.iter().any(waiting), "secondaries first, the primary last");
                let was = together(&places);
                places[node].mode = to;
                prop_assert!(!was || together(&places), "once together, together for good");
                count += 1;
                prop_assert!(count <= 3 * places.len());
            }
            prop_assert!(places.iter().all(|place| place.mode >= target));
        }

        /// From any mixture, back to any modes: one rung at a time, from the highest, until each is where it began.
        #[test]
        fn down_is_one_rung_at_a_time((mut places, _) in mixtures(), targets in prop::collection::vec(modes(), 8)) {
            let targets = &targets[..places.len()];
            let began = places.clone();
            while let Some(Step { node, to }) = down(&places, targets) {
                let from = places[node].mode;
                prop_assert!(to.step_to(from, Spelling::Ssl).is_ok() && to >= targets[node]);
                let above = places.iter().zip(targets).any(|(other, target)| other.mode > from && other.mode > *target);
                prop_assert!(!above, "nobody who goes down is left above");
                places[node].mode = to;
            }
            for ((place, target), began) in places.iter().zip(targets).zip(began) {
                prop_assert_eq!(place.mode, began.mode.min(*target));
            }
        }
    }
}
