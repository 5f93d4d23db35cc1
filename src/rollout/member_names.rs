//! The names of all members of all sets, which are collected from the nodes' servers and given to every node before the
//! first step. A node verifies a peer by its name. Beside the names in its options, it knows only those in its own
//! server's `hello`, which has neither hidden members nor members of other sets.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{MemberNames, Rollout};
use super::fleet::{AnswerError, all_of};
use super::halt::Halt;
use super::node::Node;
use crate::admin_client::ClientError;
use crate::text::{escaped, printable};

/// Collects the names of each set: those in the `hello` of its listed members, and the name of each member itself.
/// PURE.
pub(super) fn of_sets(nodes: &[Node]) -> MemberNames {
    let mut sets = BTreeMap::<String, BTreeSet<String>>::new();
    for node in nodes {
        let Some(server) = &node.server else { continue };
        let Some(set) = &server.set_name else { continue };
        sets.entry(set.clone())
            .or_default()
            .extend(server.hosts.iter().map(|host| host.to_ascii_lowercase()).chain(node.me()));
    }
    sets.into_iter().map(|(set, names)| (set, names.into_iter().collect())).collect()
}

/// The names that a node does not know yet. PURE.
pub(super) fn unknown_to<'a>(node: &Node, sets: &'a MemberNames) -> Vec<&'a str> {
    let known: BTreeSet<_> = node.status.members.iter().map(|member| member.name.to_ascii_lowercase()).collect();
    sets.values().flatten().filter(|name| !known.contains(*name)).map(String::as_str).collect()
}

/// The sets and their names in one line. PURE.
fn text(sets: &MemberNames) -> String {
    let set = |(set, names): (&String, &Vec<String>)| {
        let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
        format!("{}: {}", printable(set), names.join(", "))
    };
    sets.iter().map(set).collect::<Vec<_>>().join("; ")
}

impl Rollout {
    /// Gives every node the names of all sets, unless this rollout has given the same names before.
    ///
    /// # Errors
    /// A node that does not answer, or whose version has no `POST /members`.
    pub(super) async fn give_names(&self, nodes: &[Node]) -> Result<(), Halt> {
        let sets = of_sets(nodes);
        if sets.is_empty() || self.given_names.borrow().as_ref() == Some(&sets) {
            return Ok(());
        }
        let all = self.fleet.all();
        let asked = self.fleet.each(&all, |handle| {
            let (sets, holder) = (sets.clone(), self.leases.holder().to_owned());
            async move {
                let reply = handle.client.set_members(&sets, Some(&holder)).await;
                Ok(reply.map_err(AnswerError::from)?.value.warnings)
            }
        });
        let warnings = all_of(asked.await).map_err(|(node, error)| self.not_told(node, &error))?;
        for (node, warning) in
            warnings.iter().enumerate().flat_map(|(node, all)| all.iter().map(move |one| (node, one)))
        {
            self.tell(node, &format!("member names: {}", escaped(warning)));
        }
        self.tell_all(&format!("every node has the names of all members: {}", text(&sets)));
        self.given_names.replace(Some(sets));
        Ok(())
    }

    fn not_told(&self, node: usize, error: &AnswerError) -> Halt {
        let why = match error {
            AnswerError::Client(ClientError::Refused { status: NOT_FOUND, .. }) => {
                "this tlsramp is too old to accept the names of other sets' and hidden members (it has no POST \
                 /members), and would verify them by their addresses: update it first"
                    .to_owned()
            }
            AnswerError::Client(_) | AnswerError::Unreadable(_) => {
                format!("it does not accept the members' names: {error}")
            }
        };
        Halt::stopped(self.fleet.name(node), why)
    }
}

/// The HTTP status of an unknown path.
const NOT_FOUND: u16 = 404;

#[cfg(test)]
mod tests {
    use super::{of_sets, text, unknown_to};
    use crate::admin::replies::MemberStatus;
    use crate::policy::Mode::Disabled;
    use crate::rollout::node::MemberState;
    use crate::rollout::node::tests::member;

    #[test]
    fn every_name_of_every_set_is_collected() {
        let mut nodes = vec![
            member("a", MemberState::Primary, Disabled, &["a", "b"]),
            // No other member's `hello` lists a hidden member, but its own `hello` names itself.
            member("Hidden", MemberState::Secondary, Disabled, &["a", "b"]),
            member("c", MemberState::Primary, Disabled, &["c"]),
            member("app", MemberState::Mongos, Disabled, &[]),
            member("beside", MemberState::Mongos, Disabled, &[]),
        ];
        nodes[2].server.iter_mut().for_each(|server| server.set_name = Some("shard2".into()));
        nodes[3].server.iter_mut().for_each(|server| (server.set_name, server.me) = (None, None));
        nodes[4].server = None;
        let sets = of_sets(&nodes);
        assert_eq!(text(&sets), "rs: a:27017, b:27017, hidden:27017; shard2: c:27017");
        nodes[4].status.members = ["A:27017", "b:27017", "c:27017"]
            .map(|name| MemberStatus { name: name.into(), ..MemberStatus::default() })
            .to_vec();
        assert_eq!(unknown_to(&nodes[4], &sets), ["hidden:27017"]);
        assert_eq!(of_sets(&nodes[3..]).len(), 0);
    }
}
