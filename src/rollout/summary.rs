//! The end of a rollout: the state of every node, files with another mode, advice, and the exit codes. PURE.

use super::fleet::AnswerError;
use super::halt::Halt;
use super::lagging::{LastModes, lagging};
use super::node::Node;
use crate::policy::Spelling;
use crate::text::escaped;

pub(super) const DONE: u8 = 0;
pub(super) const STOPPED: u8 = 1;
pub(super) const USAGE: u8 = 2;
/// Every node is in the mode, but some file names another.
pub(super) const FILES_DISAGREE: u8 = 3;

/// The state of every node, one line each.
pub(super) fn standing(names: &[String], nodes: &[Result<Node, AnswerError>], last: &LastModes) -> Vec<String> {
    let answered: Vec<_> = nodes.iter().flatten().cloned().collect();
    let lagging: Vec<_> =
        lagging(&answered, last).into_iter().map(|(place, text)| (&*answered[place].name, text)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let line = |(name, node): (&String, &Result<Node, AnswerError>)| match node {
        Ok(node) => {
            let drift = node.status.drift.as_deref().map(|drift| format!("  ({})", escaped(drift))).unwrap_or_default();
            let behind = lagging.iter().find(|(name, _)| *name == node.name);
            let behind = behind.map(|(_, text)| format!("  {text}")).unwrap_or_default();
            let line = format!("{name:width$}  {:10}  {:10}{drift}{behind}", node.state(), node.mode.to_string());
            line.trim_end().to_owned()
        }
        Err(error) => format!("{name:width$}  not known: {error}"),
    };
    names.iter().zip(nodes).map(line).collect()
}

/// Nodes whose configuration names another mode than the one in force, each with the line to change.
pub(super) fn disagreements(nodes: &[Result<Node, AnswerError>]) -> Vec<String> {
    let differs = |node: &&Node| node.configured != node.mode;
    let line = |node: &Node| {
        let Node { name, mode, configured, .. } = node;
        let newer = mode.name(Spelling::Tls);
        format!(
            "{name} runs in {mode}, and its configuration file or flags say {configured}: put there \
             `sslMode = {mode}` (YAML: net.tls.mode: {newer}; flag: --sslMode {mode})"
        )
    };
    nodes.iter().filter_map(|node| node.as_ref().ok()).filter(differs).map(line).collect()
}

/// The operator's next action.
pub(super) fn advice(halt: &Halt) -> &'static str {
    match halt {
        Halt::Stopped(_) => "nothing has failed; once that is done, the same command goes on where the nodes are",
        Halt::Failed(_) => {
            "every node stays where it is, which works as it is; look at that node, then the same command goes on, or \
             --rollback takes all back"
        }
        Halt::TakenBack(_) => "look at that node, then begin again",
        Halt::Interrupted => "the same command goes on where the nodes are; --rollback takes all back",
    }
}

#[cfg(test)]
mod tests {
    use super::{LastModes, disagreements, standing};
    use crate::policy::Mode::{Allow, Prefer, Require};
    use crate::rollout::fleet::AnswerError;
    use crate::rollout::node::MemberState;
    use crate::rollout::node::tests::member;

    #[test]
    fn the_summary_has_all_nodes_and_differing_files() {
        let mut node = member("a", MemberState::Primary, Prefer, &["a"]);
        (node.configured, node.status.drift) = (Allow, Some("a restart would go back to allowSSL".into()));
        let nodes = [Ok(node), Err(AnswerError::Unreadable("x".into()))];
        let lines = standing(&["a:28017".into(), "longer:28017".into()], &nodes, &LastModes::new());
        assert_eq!(lines[0], "a:28017       PRIMARY     preferSSL   (a restart would go back to allowSSL)");
        assert_eq!(lines[1], "longer:28017  not known: its status cannot be read: x");
        let last = LastModes::from([("a:28017".to_owned(), Require)]);
        let lines = standing(&["a:28017".into(), "longer:28017".into()], &nodes, &last);
        assert!(lines[0].contains("its mode fell behind: it is at preferSSL"), "{lines:?}");
        let lines = disagreements(&nodes);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].contains("say allowSSL: put there `sslMode = preferSSL` (YAML: net.tls.mode: preferTLS"),
            "{lines:?}"
        );
    }
}
