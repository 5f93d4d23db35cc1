//! Renders the reply of `history`.

use crate::admin::replies::{Effect, HistoryEntry, HistoryReply};
use crate::screen::words::{count, notes};
use crate::screen::{Page, StyledText, TextTable};
use crate::text::escaped;

/// The page, newest last, as a log is read.
pub(super) fn page(HistoryReply { history }: &HistoryReply) -> Page {
    let refused = history.iter().filter(|entry| entry.effect == Effect::Refused).count();
    let refused = if refused == 0 { String::new() } else { format!(", {refused} of them refused") };
    let mut page = Page::saying(format!("{}{refused}, newest last.", count(history.len(), "change")));
    let mut table = TextTable::new([("WHEN (UTC)", 0), ("RESULT", 0), ("BY", 0), ("CHANGE", 0)]);
    for entry in history {
        let HistoryEntry { at, action, what, effect, door, by, .. } = entry;
        table.row([
            StyledText::from(moment(at)),
            result(*effect),
            format!("{} {}", escaped(door), escaped(by)).into(),
            format!("{}: {}", action.name(), escaped(what)).into(),
        ]);
        let note = notes([entry.reason.as_deref().map(escaped), repeated(entry)]);
        if !note.is_empty() {
            table.note(note);
        }
    }
    page.table(table);
    page
}

fn result(effect: Effect) -> StyledText {
    match effect {
        Effect::Done => "done".into(),
        Effect::Kept => "no change".into(),
        Effect::Refused => StyledText::amber("REFUSED"),
        Effect::Other => "unknown".into(),
    }
}

/// Date and time, as people write them.
fn moment(at: &str) -> String {
    escaped(at).replacen('T', " ", 1).trim_end_matches('Z').to_owned()
}

fn repeated(entry: &HistoryEntry) -> Option<String> {
    let since = entry.since.as_deref().map(|since| format!(" since {}", moment(since))).unwrap_or_default();
    (entry.times > 1).then(|| format!("{} times{since}", entry.times))
}
