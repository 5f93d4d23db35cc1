//! The problems that stop a rollout before a step: nodes that are unhealthy, that do not belong together, that are
//! missing, or that are above the target mode. PURE.

use std::collections::BTreeSet;

use super::node::{MemberState, Node};
use crate::policy::Mode;
use crate::text::printable;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HealthProblem {
    /// The index of the node; `None` if the problem concerns a whole set.
    pub(super) node: Option<usize>,
    pub(super) text: String,
    /// Whether the problem may end by itself, such as an election.
    pub(super) transient: bool,
}

/// All problems that stop a rollout to this mode.
pub(super) fn problems(nodes: &[Node], target: Mode) -> Vec<HealthProblem> {
    let mut found = ailments(nodes);
    found.extend(sets(nodes));
    found.extend(twice(nodes));
    found.extend(missing(nodes));
    found.extend(too_far(nodes, target));
    found
}

/// A line for each problem, with the name of its node.
pub(super) fn text(found: &[HealthProblem], names: &[String]) -> String {
    let line = |one: &HealthProblem| match one.node.and_then(|node| names.get(node)) {
        Some(name) => format!("{name}: {}", one.text),
        None => one.text.clone(),
    };
    found.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn ailments(nodes: &[Node]) -> Vec<HealthProblem> {
    let ill = |(node, ailment): (usize, Option<String>)| {
        Some(HealthProblem { node: Some(node), text: ailment?, transient: true })
    };
    nodes.iter().map(Node::ailment).enumerate().filter_map(ill).collect()
}

/// A standalone server together with members of sets; sets without exactly one primary.
fn sets(nodes: &[Node]) -> Vec<HealthProblem> {
    let names: BTreeSet<_> = nodes.iter().filter_map(set).collect();
    let mut found = Vec::new();
    for (node, one) in nodes.iter().enumerate() {
        if one.state() == MemberState::Standalone && !names.is_empty() {
            let names = names.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", ");
            let text = format!(
                "its server is a standalone, but other nodes are members of {names}: run a separate rollout for it"
            );
            found.push(HealthProblem { node: Some(node), text, transient: false });
        }
    }
    for name in names {
        let members = nodes.iter().filter(|node| set(node) == Some(name));
        let primaries = members.filter(|node| node.state() == MemberState::Primary).count();
        if primaries != 1 {
            let text = format!("the set {} has {primaries} primaries; expected one", printable(name));
            found.push(HealthProblem { node: None, text, transient: true });
        }
    }
    found
}

/// Members behind more than one node: two admin addresses of one tlsramp, or two proxies of one server.
fn twice(nodes: &[Node]) -> Vec<HealthProblem> {
    let mut seen = BTreeSet::new();
    let again = |(node, one): (usize, &Node)| {
        let me = one.me()?;
        let text = format!(
            "its server {} is also another node's: two --node options name one tlsramp, or two proxies front one \
             server",
            printable(&me)
        );
        (!seen.insert(me)).then_some(HealthProblem { node: Some(node), text, transient: false })
    };
    nodes.iter().enumerate().filter_map(again).collect()
}

/// Members in a set's `hello` that are not listed nodes.
pub(super) fn missing(nodes: &[Node]) -> Vec<HealthProblem> {
    // A server that is down or starting, and whose own name is not known yet, may be the missing member.
    if nodes.iter().any(|node| node.me().is_none() && node.ailment().is_some()) {
        return Vec::new();
    }
    let given: BTreeSet<_> = nodes.iter().filter_map(Node::me).collect();
    let named = nodes.iter().filter_map(|node| node.server.as_ref()).flat_map(|server| &server.hosts);
    let named = named.map(|host| host.to_ascii_lowercase());
    let missing: BTreeSet<_> = named.filter(|host| !given.contains(host)).collect();
    let problem = |host: String| {
        let text = format!("the set's member {} is not a listed node: add its tlsramp with --node", printable(&host));
        HealthProblem { node: None, text, transient: false }
    };
    missing.into_iter().map(problem).collect()
}

fn too_far(nodes: &[Node], target: Mode) -> Vec<HealthProblem> {
    let above = nodes.iter().enumerate().filter(|(_, node)| node.mode > target);
    let finding = |(node, one): (usize, &Node)| {
        let text = format!("its mode is {}, above {target}: to go down, use --rollback --to {target}", one.mode);
        HealthProblem { node: Some(node), text, transient: false }
    };
    above.map(finding).collect()
}

fn set(node: &Node) -> Option<&str> {
    node.server.as_ref()?.set_name.as_deref()
}

#[cfg(test)]
mod tests {
    use super::problems;
    use crate::admin::replies::UpstreamStatus;
    use crate::policy::Mode::{Allow, Disabled, Require};
    use crate::rollout::node::tests::member;
    use crate::rollout::node::{MemberState, Node};

    fn changed(node: Node, change: impl FnOnce(&mut UpstreamStatus)) -> Node {
        let mut node = node;
        if let Some(server) = &mut node.server {
            change(server);
        }
        node
    }

    fn trio() -> Vec<Node> {
        let names = ["a", "b", "c"];
        let states = [MemberState::Primary, MemberState::Secondary, MemberState::Arbiter];
        names.iter().zip(states).map(|(name, state)| member(name, state, Disabled, &names)).collect()
    }

    fn alone(name: &str, state: MemberState) -> Node {
        changed(member(name, state, Disabled, &[]), |server| (server.set_name, server.me) = (None, None))
    }

    #[test]
    fn healthy_nodes_have_no_problems() {
        let sharded = || [trio(), vec![alone("s", MemberState::Mongos)]].concat();
        for nodes in [trio(), sharded(), vec![alone("s", MemberState::Standalone), alone("t", MemberState::Standalone)]]
        {
            assert_eq!(problems(&nodes, Require), [], "{nodes:?}");
        }
    }

    #[test]
    fn each_problem_is_named() {
        let ill = |at: usize, change: fn(&mut UpstreamStatus)| {
            let mut nodes = trio();
            nodes[at] = changed(nodes[at].clone(), change);
            nodes
        };
        let rows: [(Vec<Node>, Option<usize>, &str); 8] = [
            (ill(1, |server| server.up = false), Some(1), "was not probed yet"),
            (
                ill(2, |server| server.state = Some(MemberState::Other.name().into())),
                Some(2),
                "wait until it has recovered",
            ),
            (ill(0, |server| server.state = Some(MemberState::Secondary.name().into())), None, "has 0 primaries"),
            (ill(1, |server| server.state = Some(MemberState::Primary.name().into())), None, "has 2 primaries"),
            (
                [trio(), vec![alone("s", MemberState::Standalone)]].concat(),
                Some(3),
                "is a standalone, but other nodes are members of rs",
            ),
            (ill(1, |server| server.me = Some("A:27017".into())), Some(1), "a:27017 is also another node's"),
            (trio()[..2].to_vec(), None, "member c:27017 is not a listed node"),
            (ill(1, |server| server.hosts.push("h:1".into())), None, "h:1 is not a listed node"),
        ];
        for (nodes, node, part) in rows {
            let found = problems(&nodes, Require);
            assert!(found.iter().any(|one| one.node == node && one.text.contains(part)), "{part}: {found:?}");
        }
        let mut nodes = trio();
        nodes[2] = changed(nodes[2].clone(), |server| (server.up, server.me) = (false, None));
        let found = problems(&nodes, Require);
        assert!(found.iter().all(|one| one.transient), "a member that is down is not missing: {found:?}");
        let mut nodes = trio();
        nodes[2].mode = Require;
        assert!(problems(&nodes, Allow)[0].text.contains("its mode is requireSSL, above allowSSL: to go down, use"));
    }
}
