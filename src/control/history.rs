//! The last changes, made or refused, with time, caller and outcome. The history is bounded, and kept in the state
//! file. Repetitions (a watch that retries, a refusal in a loop) share one entry with a count, so that they do not
//! displace an operator's changes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::caller::{Caller, Interface};
use crate::limits::{HISTORY_ENTRIES, HISTORY_LOOK_BACK, HISTORY_TEXT_CHARS};
use crate::telemetry::now_millis;
use crate::text::rfc3339_millis;

/// A change that was made or refused. Also its format in the state file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The time of the change; if it was repeated, of the last occurrence. RFC 3339, to the second.
    pub at: String,
    /// The kind of change.
    pub action: Action,
    /// A description of the change, such as `allowSSL -> preferSSL, forced`.
    pub what: String,
    /// The outcome.
    pub effect: Effect,
    /// The reason for a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The generation of the resulting snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The interface of the request: `mongodb`, `http`, `signal`, `watch`, `program`.
    pub door: String,
    /// The caller: an address with the subject of a certificate, a user ID, or this process.
    pub by: String,
    /// The number of occurrences, if the entry was repeated.
    pub times: u32,
    /// The time of the first occurrence, if the entry was repeated. RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Kinds of changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// A change of the mode.
    Mode,
    /// Configuration and TLS files were read again.
    Reload,
    /// TLS files were read again.
    Rotate,
    /// The lease was taken or given back. Renewals are left out.
    Lease,
    /// Non-conforming connections were recycled.
    Recycle,
    /// A client was accepted, or its acceptance withdrawn.
    Accept,
    /// Members were set.
    Members,
    /// The start of the process.
    Start,
    /// A request to stop through the admin port.
    Quit,
    /// A kind that only a later version writes.
    #[default]
    #[serde(other)]
    Other,
}

/// The outcome of a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// The change was made.
    Done,
    /// There was nothing to change.
    Kept,
    /// The change was refused.
    Refused,
    /// An outcome that only a later version writes.
    #[default]
    #[serde(other)]
    Other,
}

impl Action {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Action::Mode => "mode",
            Action::Reload => "reload",
            Action::Rotate => "rotate",
            Action::Lease => "lease",
            Action::Recycle => "recycle",
            Action::Accept => "accept",
            Action::Members => "members",
            Action::Start => "start",
            Action::Quit => "quit",
            Action::Other => "other",
        }
    }
}

/// A change, without caller and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) action: Action,
    pub(crate) what: String,
    pub(crate) effect: Effect,
    /// The reason for a refusal.
    pub(crate) reason: Option<String>,
    /// The generation of the resulting snapshot.
    pub(crate) generation: Option<u64>,
}

/// The entries, oldest first.
#[derive(Debug, Default)]
pub struct History {
    entries: Mutex<VecDeque<HistoryEntry>>,
    revision: AtomicU64,
}

impl Event {
    pub(crate) fn done(action: Action, what: impl Into<String>) -> Event {
        Event { action, what: what.into(), effect: Effect::Done, reason: None, generation: None }
    }

    /// A request that found nothing to change.
    pub(crate) fn kept(action: Action, what: impl Into<String>) -> Event {
        Event { effect: Effect::Kept, ..Event::done(action, what) }
    }

    pub(crate) fn refused(action: Action, what: impl Into<String>, reason: &dyn std::fmt::Display) -> Event {
        Event { effect: Effect::Refused, reason: Some(reason.to_string()), ..Event::done(action, what) }
    }

    /// Sets the generation of the resulting snapshot.
    pub(crate) fn in_generation(self, generation: u64) -> Event {
        Event { generation: Some(generation), ..self }
    }
}

impl History {
    /// The history from the state file, truncated to the bound, since the file may have been edited.
    pub fn from_image(image: Vec<HistoryEntry>) -> History {
        let skip = image.len().saturating_sub(HISTORY_ENTRIES);
        let entries = image.into_iter().skip(skip).map(bounded).collect();
        History { entries: Mutex::new(entries), revision: AtomicU64::new(0) }
    }

    /// The entries, oldest first.
    pub(crate) fn entries(&self) -> Vec<HistoryEntry> {
        self.lock().iter().cloned().collect()
    }

    /// A number that grows with every change of the history.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// Adds a change that was made or refused now.
    pub(crate) fn note(&self, event: Event, caller: &Caller) {
        self.note_at(event, caller, now_millis());
    }

    fn note_at(&self, event: Event, caller: &Caller, now: i64) {
        let repeats =
            event.effect != Effect::Done || caller.interface == Interface::Watch || event.action == Action::Start;
        let Event { action, what, effect, reason, generation } = event;
        let (door, by) = (caller.interface.name().to_owned(), caller.who.place());
        let at = rfc3339_millis(now.div_euclid(1000).saturating_mul(1000));
        let mut entry =
            bounded(HistoryEntry { at, action, what, effect, reason, generation, door, by, times: 1, since: None });
        let mut entries = self.lock();
        let recent = entries.len().saturating_sub(HISTORY_LOOK_BACK);
        let same = entries.iter().skip(recent).position(|earlier| repeats && is_repeated(earlier, &entry));
        if let Some(earlier) = same.and_then(|place| entries.remove(recent + place)) {
            entry.times = earlier.times.saturating_add(1);
            entry.since = earlier.since.or(Some(earlier.at));
        }
        if entries.len() >= HISTORY_ENTRIES {
            entries.pop_front();
        }
        entries.push_back(entry);
        self.revision.fetch_add(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<HistoryEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether two entries differ in nothing but time, count and generation.
fn is_repeated(one: &HistoryEntry, other: &HistoryEntry) -> bool {
    let key = |entry: &HistoryEntry| (entry.action, entry.effect);
    key(one) == key(other)
        && (&one.what, &one.reason, &one.door, &one.by) == (&other.what, &other.reason, &other.door, &other.by)
}

fn bounded(mut entry: HistoryEntry) -> HistoryEntry {
    let texts = [&mut entry.at, &mut entry.what, &mut entry.door, &mut entry.by];
    for text in texts.into_iter().chain(&mut entry.reason).chain(&mut entry.since) {
        if let Some((cut, _)) = text.char_indices().nth(HISTORY_TEXT_CHARS) {
            text.truncate(cut);
            text.push('…');
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::{Action, Effect, Event, History};
    use crate::control::Caller;
    use crate::limits::{HISTORY_ENTRIES, HISTORY_TEXT_CHARS};

    #[test]
    fn the_last_ones_are_kept_and_a_text_is_cut() {
        let history = History::default();
        for number in 0..HISTORY_ENTRIES + 7 {
            history.note(Event::done(Action::Mode, format!("{number}")), &Caller::PROGRAM);
        }
        history.note(Event::refused(Action::Mode, "é".repeat(5000), &"x".repeat(5000)), &Caller::PROGRAM);
        let entries = history.entries();
        assert_eq!((entries.len(), &*entries[0].what), (HISTORY_ENTRIES, "8"));
        let last = entries.last().unwrap();
        assert_eq!(last.what.chars().count(), HISTORY_TEXT_CHARS + 1);
        assert_eq!(last.reason.as_ref().unwrap().chars().count(), HISTORY_TEXT_CHARS + 1);
        assert_eq!((last.effect, &*last.door, &*last.by), (Effect::Refused, "program", "this process"));
        // A history from an edited file is truncated too.
        let many: Vec<_> = (0..10).flat_map(|_| history.entries()).collect();
        let read = History::from_image(many).entries();
        assert_eq!((read.len(), read.last()), (HISTORY_ENTRIES, entries.last()));
    }

    #[test]
    fn what_repeats_itself_is_one_entry_and_what_was_done_is_not() {
        let history = History::default();
        let minute = 60_000;
        history.note_at(Event::done(Action::Mode, "disabled -> allowSSL"), &Caller::PROGRAM, 0);
        for time in 1..=50 {
            history.note_at(Event::refused(Action::Reload, "configuration", &"no"), &Caller::WATCH, time * minute);
            let rotated = Event::done(Action::Rotate, "CN=a").in_generation(time.unsigned_abs());
            history.note_at(rotated, &Caller::WATCH, time * minute + 1);
        }
        for what in ["a -> b", "b -> a", "a -> b"] {
            history.note_at(Event::done(Action::Mode, what), &Caller::PROGRAM, 51 * minute);
        }
        let shown: Vec<_> = history
            .entries()
            .into_iter()
            .map(|entry| (entry.what, entry.times, entry.since, entry.generation))
            .collect();
        let since = Some("1970-01-01T00:01:00Z".to_owned());
        assert_eq!(
            shown,
            [
                ("disabled -> allowSSL".to_owned(), 1, None, None),
                ("configuration".to_owned(), 50, since.clone(), None),
                ("CN=a".to_owned(), 50, since, Some(50)),
                ("a -> b".to_owned(), 1, None, None),
                ("b -> a".to_owned(), 1, None, None),
                ("a -> b".to_owned(), 1, None, None),
            ]
        );
        assert_eq!(history.revision(), 104);
    }
}
