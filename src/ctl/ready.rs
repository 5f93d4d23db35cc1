//! Renders the reply of `ready`, and the blockers of a refusal.

use crate::admin::replies::{BlockerKind, BlockerReply, Ready};
use crate::admin_client::quoted;
use crate::screen::words::{ago, count, name, named, notes};
use crate::screen::{Page, TextTable};
use crate::text::escaped;

/// The page; `called` is this command up to its verb, for the commands that it suggests.
pub(super) fn page(ready: &Ready, called: &str, now: i64) -> Page {
    let (mode, to) = (escaped(&ready.mode), escaped(&ready.to));
    let found = &ready.blockers;
    let mut page = Page::saying(if mode == to {
        format!("{to} is in force already{}", if ready.ready { "." } else { "; what it does not fit:" })
    } else if ready.ready {
        format!("Ready for {to} (the mode is {mode}): nothing stands in its way.")
    } else {
        format!("Not ready for {to} (the mode is {mode}): {} in its way.", stand(found.len()))
    });
    list(&mut page, found, now);
    let keys: Vec<_> = found.iter().filter_map(|blocker| blocker.key.as_deref()).collect();
    if !keys.is_empty() {
        let whom = if keys.len() == 1 { "it" } else { "them" };
        page.say(format!("Or accept by name that {to} will refuse {whom}:"));
        page.commands(keys.iter().map(|key| format!("{called} accept {}", quoted(&escaped(key)))).collect());
    }
    page
}

/// The blockers as a table.
pub(super) fn list(page: &mut Page, blockers: &[BlockerReply], now: i64) {
    let mut table = TextTable::new([
        ("WHAT", 0),
        ("APPLICATION", 0),
        ("DRIVER", 0),
        ("ADDRESS", 0),
        ("OPEN", 0),
        ("LAST SEEN", 0),
        ("REMEDY", 0),
    ]);
    for blocker in blockers {
        let fatal = blocker.fatal.then(|| "refused without --force".to_owned());
        table.row([
            notes([Some(what(blocker)), fatal]),
            named(blocker.application.as_deref(), blocker.more_names),
            name(blocker.driver.as_deref()),
            name(blocker.address.as_deref()),
            blocker.open.map(|open| open.to_string()).unwrap_or_default(),
            blocker.last_seen.as_deref().map(|seen| ago(seen, now)).unwrap_or_default(),
            escaped(&blocker.remedy),
        ]);
    }
    page.table(table);
}

/// A short description, as other columns have the rest; for kinds of a later version, the text.
fn what(blocker: &BlockerReply) -> String {
    match blocker.kind {
        BlockerKind::PlaintextOpen => "connected without TLS".to_owned(),
        BlockerKind::PlaintextSeen => "lately without TLS".to_owned(),
        BlockerKind::TlsOpen => "connected with TLS".to_owned(),
        BlockerKind::TlsSeen => "lately with TLS".to_owned(),
        BlockerKind::Upstream
        | BlockerKind::InventoryLost
        | BlockerKind::Unservable
        | BlockerKind::Bypass
        | BlockerKind::Redirect
        | BlockerKind::More
        | BlockerKind::Other => escaped(&blocker.text),
    }
}

fn stand(number: usize) -> String {
    let verb = if number == 1 { "stands" } else { "stand" };
    format!("{} {verb}", count(number, "thing"))
}
