//! Nodes whose mode has fallen behind: below the node's last mode in the log, or more than one rung below another
//! node. A rollout causes neither. The usual cause is a restart without the state file. PURE.

use std::collections::BTreeMap;

use super::node::Node;
use crate::policy::Mode;

/// The mode of each node after its last change, by the node's name.
pub(super) type LastModes = BTreeMap<String, Mode>;

/// A text for each such node, with its index.
pub(super) fn lagging(nodes: &[Node], last: &LastModes) -> Vec<(usize, String)> {
    let highest = nodes.iter().map(|node| node.mode).max();
    let text = |node: &Node| {
        let was = last.get(&node.name).filter(|was| **was > node.mode);
        let others = highest.filter(|highest| *highest as u8 > node.mode as u8 + 1);
        let than = match (was, others) {
            (Some(was), _) => format!("its last mode in the log is {was}"),
            (None, Some(highest)) => format!("others are in {highest}"),
            (None, None) => return None,
        };
        Some(format!("its mode has fallen behind: it is {}, but {than} ({CAUSE})", node.mode))
    };
    nodes.iter().enumerate().filter_map(|(place, node)| Some((place, text(node)?))).collect()
}

const CAUSE: &str = "was it restarted without its --stateFile, or changed by hand?";

#[cfg(test)]
mod tests {
    use super::{LastModes, lagging};
    use crate::policy::Mode::{Allow, Disabled, Prefer};
    use crate::rollout::node::MemberState;
    use crate::rollout::node::tests::member;

    #[test]
    fn a_node_below_the_others_or_below_its_own_past_is_named() {
        let nodes = |modes: [crate::policy::Mode; 2]| {
            let place = [("a", MemberState::Primary), ("b", MemberState::Secondary)];
            place.into_iter().zip(modes).map(|((name, state), mode)| member(name, state, mode, &[])).collect::<Vec<_>>()
        };
        let found = lagging(&nodes([Prefer, Disabled]), &LastModes::new());
        assert_eq!(found.len(), 1);
        assert!(found[0].0 == 1 && found[0].1.contains("it is disabled, but others are in preferSSL"), "{found:?}");
        assert_eq!(lagging(&nodes([Prefer, Allow]), &LastModes::new()), [], "one rung is what a rollout leaves");
        let last = LastModes::from([("b:28017".to_owned(), Prefer), ("a:28017".to_owned(), Allow)]);
        let found = lagging(&nodes([Prefer, Allow]), &last);
        assert!(found.len() == 1 && found[0].1.contains("its last mode in the log is preferSSL"), "{found:?}");
    }
}
