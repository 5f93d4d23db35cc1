//! The log of a rollout: plain text, one appended line for each event. It is read back at the start of the next
//! rollout.
//!
//! A rollback and a resumed rollout take from the log the modes that nodes had before the rollout, and every rollout
//! reports nodes that are below their last mode in the log. The next step is decided by the nodes' own answers alone.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::lagging::LastModes;
use super::limits::LOG_BYTES;
use super::node::mode;
use crate::policy::Mode;

/// The log. Without a file, every line is dropped.
#[derive(Debug, Default)]
pub(super) struct Journal {
    file: Option<(PathBuf, File)>,
    /// Whether a write error was reported.
    complained: Cell<bool>,
}

/// The modes that nodes had before the rollout, and the nodes whose rollout is complete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Origins {
    pub(super) modes: Vec<(String, Mode)>,
    done: BTreeSet<String>,
}

impl Journal {
    /// Opens a log for appending.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Journal> {
        let Some(path) = path else { return Ok(Journal::default()) };
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Journal { file: Some((path.to_owned(), file)), complained: Cell::default() })
    }

    /// Writes a line. Only the first write error is reported. It does not stop the rollout, which would leave the nodes
    /// in different modes.
    pub(super) fn note(&self, text: impl Display) {
        let Some((path, mut file)) = self.file.as_ref().map(|(path, file)| (path, file)) else { return };
        let line = format!("{} {text}\n", now());
        if let Err(error) = file.write_all(line.as_bytes())
            && !self.complained.replace(true)
        {
            let _ = writeln!(io::stderr(), "tlsramp rollout: cannot write {}: {error}", path.display());
        }
    }

    /// Records the mode that a node had before the rollout.
    pub(super) fn began(&self, node: &str, mode: Mode) {
        self.note(format_args!("{BEGAN} {node} {mode}"));
    }

    /// Records that a node's rollout is complete.
    pub(super) fn done(&self, node: &str, mode: Mode) {
        self.note(format_args!("{DONE} {node} {mode}"));
    }
}

impl Origins {
    pub(super) fn of(&self, node: &str) -> Option<Mode> {
        self.modes.iter().find(|(one, _)| one == node).map(|(_, mode)| *mode)
    }

    /// Whether the rollout was completed or rolled back, so that a later one does not resume it.
    pub(super) fn has_ended(&self) -> bool {
        self.modes.iter().all(|(node, _)| self.done.contains(node))
    }
}

/// The contents of the log for some nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LogHistory {
    /// The origins of the nodes' newest rollout.
    pub(super) origins: Option<Origins>,
    /// The last mode change of each node, in any rollout.
    pub(super) last_modes: LastModes,
}

/// Reads the newest rollout of exactly these nodes, in any order; with `among`, of these and possibly others, so that a
/// rollback can leave out a node that no longer exists. A missing file counts as empty.
pub(super) fn history(path: &Path, nodes: &[String], among: bool) -> io::Result<LogHistory> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LogHistory::default()),
        Err(error) => return Err(error),
    };
    // Of a long log, only the end is read: it has the newest rollouts.
    let start = file.metadata()?.len().saturating_sub(LOG_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(LogHistory { origins: find(&text, nodes, among), last_modes: last_modes(&text) })
}

fn last_modes(text: &str) -> LastModes {
    let changed = |line: &str| {
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        match words[..] {
            [CHANGED, node, _, "->", to, ..] => Some((node.to_owned(), mode(to).ok()?)),
            _ => None,
        }
    };
    text.lines().filter_map(changed).collect()
}

/// Finds the newest rollout of these nodes. Its lines follow its opening line; unknown lines are skipped.
fn find(text: &str, nodes: &[String], among: bool) -> Option<Origins> {
    let mut blocks = Vec::<Origins>::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        match words[..] {
            [OPENS, ..] => blocks.push(Origins::default()),
            [BEGAN, node, name] => {
                if let (Some(block), Ok(mode)) = (blocks.last_mut(), mode(name)) {
                    block.modes.push((node.to_owned(), mode));
                }
            }
            [DONE, node, _] => {
                if let Some(block) = blocks.iter_mut().rev().find(|block| is_of(block, nodes, false)) {
                    block.done.insert(node.to_owned());
                }
            }
            _ => {}
        }
    }
    blocks.into_iter().rev().find(|block| is_of(block, nodes, among))
}

fn is_of(block: &Origins, nodes: &[String], among: bool) -> bool {
    (among || block.modes.len() == nodes.len())
        && nodes.iter().all(|node| block.modes.iter().any(|(one, _)| one == node))
}

/// The time in RFC 3339, UTC.
fn now() -> String {
    bson::DateTime::from_system_time(SystemTime::now()).try_to_rfc3339_string().unwrap_or_default()
}

/// The first word of a rollout's opening line.
pub(super) const OPENS: &str = "rollout";
/// The first word of a mode change's line.
pub(super) const CHANGED: &str = "changed";
const BEGAN: &str = "began";
const DONE: &str = "done";

#[cfg(test)]
mod tests {
    use super::{Journal, Origins, find, history, last_modes};
    use crate::policy::Mode::{Allow, Disabled, Prefer};

    fn nodes(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_newest_rollout_of_these_nodes_is_found() {
        let text = "T rollout to requireSSL\nT began a:1 disabled\nT began b:1 allowSSL\nT began b:1 nonsense\nT changed a:1\n\
                    T rollout to allowSSL\nT began c:1 disabled\nT done c:1 allowSSL\n\nan editor's line\n";
        let found = |text: &str, names| find(text, &nodes(names), false);
        let began = found(text, &["b:1", "a:1"]).unwrap();
        assert_eq!(began.modes, [("a:1".to_owned(), Disabled), ("b:1".to_owned(), Allow)]);
        assert_eq!((began.of("b:1"), began.of("c:1"), began.has_ended()), (Some(Allow), None, false));
        let half = format!("{text}T done a:1 requireSSL\n");
        assert!(!found(&half, &["a:1", "b:1"]).unwrap().has_ended());
        assert!(found(&format!("{half}T done b:1 requireSSL\n"), &["a:1", "b:1"]).unwrap().has_ended());
        assert!(found(text, &["c:1"]).unwrap().has_ended());
        for others in [&["a:1"][..], &["a:1", "b:1", "c:1"], &["d:1"]] {
            assert_eq!(found(text, others), None);
        }
        let began = find(text, &nodes(&["a:1"]), true).unwrap();
        assert_eq!(began.of("a:1"), Some(Disabled), "a rollback needs no node that is gone");
        assert_eq!(find(text, &nodes(&["a:1", "c:1"]), true), None);
    }

    #[test]
    fn the_last_change_of_each_node_is_known() {
        let text = "T changed a:1 disabled -> allowSSL generation 2\nT changed b:1 x -> y\nT changed a:1 allowSSL -> preferSSL\n";
        assert_eq!(last_modes(text).into_iter().collect::<Vec<_>>(), [("a:1".to_owned(), Prefer)]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let read = || -> Option<Origins> { history(&path, &nodes(&["a:1"]), false).unwrap().origins };
        assert_eq!(read(), None, "a missing file is an empty one");
        let journal = Journal::open(Some(&path)).unwrap();
        journal.note("rollout to allowSSL");
        journal.began("a:1", Disabled);
        let began = read().unwrap();
        assert_eq!((began.of("a:1"), began.has_ended()), (Some(Disabled), false));
        Journal::open(Some(&path)).unwrap().done("a:1", Allow);
        assert!(read().unwrap().has_ended(), "appended");
        Journal::default().note("kept nowhere");
    }
}
