//! The log: plain text for the change record, a line an event, appended; and read back for where nodes began.
//!
//! It is a record, and no state: what is to be done next, the nodes alone say. Only the way back needs it, since no node
//! remembers where it came from.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::behind::LastModes;
use super::node::mode;
use crate::limits::ROLLOUT_LOG_BYTES;
use crate::policy::Mode;

/// A log that is written to; or none, which takes everything and keeps nothing.
#[derive(Debug, Default)]
pub(super) struct Journal {
    file: Option<(PathBuf, Mutex<File>)>,
    /// Whether it was said that it cannot be written.
    complained: Mutex<bool>,
}

/// Where nodes began, and which of them have come to their end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Began {
    pub(super) modes: Vec<(String, Mode)>,
    done: BTreeSet<String>,
}

impl Journal {
    /// Opens a log for appending.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Journal> {
        let Some(path) = path else { return Ok(Journal::default()) };
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Journal { file: Some((path.to_owned(), Mutex::new(file))), complained: Mutex::default() })
    }

    /// Writes a line. That it cannot be written is said once: a change record with a gap is no reason to stop between
    /// two nodes.
    pub(super) fn note(&self, text: impl Display) {
        let Some((path, file)) = &self.file else { return };
        let line = format!("{} {text}\n", now());
        let written = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = written
            && !std::mem::replace(&mut *complained, true)
        {
            let _ = writeln!(io::stderr(), "tlsramp rollout: {} cannot be written: {error}", path.display());
        }
    }

    /// Where a node began.
    pub(super) fn began(&self, node: &str, mode: Mode) {
        self.note(format_args!("{BEGAN} {node} {mode}"));
    }

    /// Where a node has come to its end.
    pub(super) fn done(&self, node: &str, mode: Mode) {
        self.note(format_args!("{DONE} {node} {mode}"));
    }
}

impl Began {
    /// Where a node began.
    pub(super) fn of(&self, node: &str) -> Option<Mode> {
        self.modes.iter().find(|(one, _)| one == node).map(|(_, mode)| *mode)
    }

    /// Whether it came to its end, or was taken back: the next rollout begins anew.
    pub(super) fn has_ended(&self) -> bool {
        self.modes.iter().all(|(node, _)| self.done.contains(node))
    }
}

/// What the log has of some nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Past {
    /// Their newest rollout.
    pub(super) began: Option<Began>,
    /// The mode that each was last changed to, in any rollout.
    pub(super) last: LastModes,
}

/// Reads what the log has of these nodes: the newest rollout of exactly these, in any order; or, if `among` is set, of
/// these and perhaps others, so that the way back does not need a node that is gone.
///
/// # Errors
/// What the system says of the file; a missing one is an empty one.
pub(super) fn past(path: &Path, nodes: &[String], among: bool) -> io::Result<Past> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Past::default()),
        Err(error) => return Err(error),
    };
    // Of a long one, the end: the newest is there.
    let start = file.metadata()?.len().saturating_sub(ROLLOUT_LOG_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(ROLLOUT_LOG_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(Past { began: find(&text, nodes, among), last: last_modes(&text) })
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

/// Blocks are told apart by the lines that open them; lines of others, and of an editor, are passed over.
fn find(text: &str, nodes: &[String], among: bool) -> Option<Began> {
    let mut blocks = Vec::<Began>::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().skip(1).collect();
        match words[..] {
            [OPENS, ..] => blocks.push(Began::default()),
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

fn is_of(block: &Began, nodes: &[String], among: bool) -> bool {
    (among || block.modes.len() == nodes.len())
        && nodes.iter().all(|node| block.modes.iter().any(|(one, _)| one == node))
}

/// RFC 3339, in UTC.
fn now() -> String {
    bson::DateTime::from_system_time(SystemTime::now()).try_to_rfc3339_string().unwrap_or_default()
}

/// The word that opens a rollout's block of lines.
pub(super) const OPENS: &str = "rollout";
/// The word that opens the line of a change.
pub(super) const CHANGED: &str = "changed";
const BEGAN: &str = "began";
const DONE: &str = "done";

#[cfg(test)]
mod tests {
    use super::{Began, Journal, find, last_modes, past};
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
        assert_eq!(began.of("a:1"), Some(Disabled), "the way back needs no node that is gone");
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
        let read = || -> Option<Began> { past(&path, &nodes(&["a:1"]), false).unwrap().began };
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
