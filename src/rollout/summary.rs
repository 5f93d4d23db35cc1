//! The end of a rollout: the state of every node, files with another mode, advice, and the exit codes. PURE.

use super::fleet::AnswerError;
use super::halt::Halt;
use super::lagging::{LastModes, lagging};
use super::node::Node;
use crate::policy::Spelling;
use crate::screen::{Page, StyledText, TextTable};
use crate::text::escaped;

pub(super) const DONE: u8 = 0;
pub(super) const STOPPED: u8 = 1;
pub(super) const USAGE: u8 = 2;
/// Every node is in the mode, but some file names another.
pub(super) const FILES_DISAGREE: u8 = 3;

/// The state of every node.
pub(super) fn standing(names: &[String], nodes: &[Result<Node, AnswerError>], last: &LastModes) -> Page {
    let answered: Vec<_> = nodes.iter().flatten().cloned().collect();
    let lagging: Vec<_> =
        lagging(&answered, last).into_iter().map(|(place, text)| (&*answered[place].name, text)).collect();
    let mut table = TextTable::new([("NODE", 0), ("STATE", 0), ("MODE", 0)]);
    for (name, node) in names.iter().zip(nodes) {
        match node {
            Ok(node) => {
                table.row([name.clone(), node.state().to_string(), node.mode.to_string()]);
                let behind = lagging.iter().find(|(name, _)| *name == node.name).map(|(_, text)| text.clone());
                let drift = node.status.drift.as_deref().map(escaped);
                drift.into_iter().chain(behind).for_each(|note| table.note(StyledText::amber(note)));
            }
            Err(error) => {
                table.row([&**name, "not known", ""]);
                table.note(StyledText::red(error.to_string()));
            }
        }
    }
    let mut page = Page::default();
    page.table(table);
    page
}

/// Nodes whose configuration names another mode than the one in force, each with the line to change.
pub(super) fn disagreements(nodes: &[Result<Node, AnswerError>]) -> Vec<String> {
    let differs = |node: &&Node| node.configured != node.mode;
    let line = |node: &Node| {
        let Node { name, mode, configured, .. } = node;
        let newer = mode.name(Spelling::Tls);
        format!(
            "{name} runs in {mode}, but its configuration file or flags name {configured}: change it to \
             `sslMode = {mode}` (YAML: net.tls.mode: {newer}; flag: --sslMode {mode})"
        )
    };
    nodes.iter().filter_map(|node| node.as_ref().ok()).filter(differs).map(line).collect()
}

/// The operator's next action.
pub(super) fn advice(halt: &Halt) -> &'static str {
    match halt {
        Halt::Stopped(_) => {
            "nothing has failed; once the reason is gone, run the same command again: it continues from the present \
             modes"
        }
        Halt::Failed(_) => {
            "every node stays in its mode; check that node, then run the same command again to continue, or with \
             --rollback to go back"
        }
        Halt::TakenBack(_) => "check that node, then start again",
        Halt::Interrupted => {
            "run the same command again: it continues from the present modes; with --rollback, it goes back"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LastModes, disagreements, standing};
    use crate::policy::Mode::{Allow, Prefer, Require};
    use crate::rollout::fleet::AnswerError;
    use crate::rollout::node::MemberState;
    use crate::rollout::node::tests::member;
    use crate::screen::OutputStyle;

    #[test]
    fn the_summary_has_all_nodes_and_differing_files() {
        let mut node = member("a", MemberState::Primary, Prefer, &["a"]);
        (node.configured, node.status.drift) = (Allow, Some("a restart would go back to allowSSL".into()));
        let nodes = [Ok(node), Err(AnswerError::Unreadable("x".into()))];
        let names = ["a:28017".into(), "longer:28017".into()];
        let expected = "\
NODE          STATE      MODE
a:28017       PRIMARY    preferSSL
    a restart would go back to allowSSL
longer:28017  not known  -
    its status cannot be read: x
";
        let page = |last| standing(&names, &nodes, &last).render(OutputStyle::default());
        assert_eq!(page(LastModes::new()), expected);
        let behind = page(LastModes::from([("a:28017".to_owned(), Require)]));
        assert!(
            behind.contains("\n    its mode has fallen behind: it is preferSSL, but its last mode in the log"),
            "{behind}"
        );
        let lines = disagreements(&nodes);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].contains("name allowSSL: change it to `sslMode = preferSSL` (YAML: net.tls.mode: preferTLS"),
            "{lines:?}"
        );
    }
}
