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
    let mut table = TextTable::new([("WHEN (UTC)", 0), ("BY", 0), ("CHANGE", 0)]);
    for entry in history {
        table.row([moment(&entry.at).into(), by(entry).into(), change(entry)]);
        let note = notes([entry.reason.as_deref().map(escaped), repeated(entry)]);
        if !note.is_empty() {
            table.note(note);
        }
    }
    page.table(table);
    page
}

fn by(entry: &HistoryEntry) -> String {
    format!("{} {}", escaped(&entry.door), escaped(&entry.by))
}

fn change(entry: &HistoryEntry) -> StyledText {
    let change = format!("{} {}", entry.action.name(), escaped(&entry.what)).trim_end().to_owned();
    match entry.effect {
        Effect::Done => change.into(),
        Effect::Kept => format!("{change} (no change)").into(),
        Effect::Refused => StyledText::amber(format!("REFUSED: {change}")),
        Effect::Other => format!("{change} (with an effect unknown to this version)").into(),
    }
}

/// Date and time to the second, as people write them.
fn moment(at: &str) -> String {
    let seconds = "2023-11-14T22:13:20".len();
    escaped(at.get(..seconds).unwrap_or(at)).replacen('T', " ", 1)
}

fn repeated(entry: &HistoryEntry) -> Option<String> {
    let since = entry.since.as_deref().map(|since| format!(" since {}", moment(since))).unwrap_or_default();
    (entry.times > 1).then(|| format!("{} times{since}", entry.times))
}
