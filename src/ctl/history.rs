//! Renders the reply of `history`.

use super::page::{Page, TextTable};
use super::words::{count, notes};
use crate::admin::replies::{Effect, HistoryEntry, HistoryReply};
use crate::text::escaped;

/// The page, newest last, as a log is read.
pub(super) fn page(HistoryReply { history }: &HistoryReply) -> Page {
    let refused = history.iter().filter(|entry| entry.effect == Effect::Refused).count();
    let refused = if refused == 0 { String::new() } else { format!(", {refused} of them refused") };
    let mut page = Page::saying(format!("{}{refused}, newest last.", count(history.len(), "change")));
    let mut table = TextTable::new(["WHEN (UTC)", "WHAT", "EFFECT", "BY"]);
    for entry in history {
        let HistoryEntry { at, action, what, effect, door, by, .. } = entry;
        table.row([
            moment(at),
            format!("{}: {}", action.name(), escaped(what)),
            notes([Some(effect_text(*effect, entry.reason.as_deref())), repeated(entry)]),
            format!("{} {}", escaped(door), escaped(by)),
        ]);
    }
    page.table(table);
    page
}

fn effect_text(effect: Effect, reason: Option<&str>) -> String {
    match (effect, reason) {
        (Effect::Done, _) => "done".to_owned(),
        (Effect::Kept, _) => "nothing to change".to_owned(),
        (Effect::Refused, Some(reason)) => format!("REFUSED: {}", escaped(reason)),
        (Effect::Refused, None) => "REFUSED".to_owned(),
        (Effect::Other, _) => "unknown to this version".to_owned(),
    }
}

/// Date and time separated by a space, where a narrow column breaks them.
fn moment(at: &str) -> String {
    escaped(at).replacen('T', " ", 1).trim_end_matches('Z').to_owned()
}

fn repeated(entry: &HistoryEntry) -> Option<String> {
    let since = entry.since.as_deref().map(|since| format!(" since {}", moment(since))).unwrap_or_default();
    (entry.times > 1).then(|| format!("{} times{since}", entry.times))
}
