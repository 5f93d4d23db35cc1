//! Renders the reply of `ready` and the blockers in a refusal, grouped by remedy.

use super::clients::seen;
use crate::admin::replies::{BlockerKind, BlockerReply, Ready};
use crate::admin_client::quoted;
use crate::screen::words::{count, name, named};
use crate::screen::{Page, StyledText, TextTable};
use crate::text::escaped;

/// The page. `non_conforming` is the number of open connections that the present policy would not make; a change of
/// mode does not end them. `called` is the `tlsramp ctl` command line with its options but without a subcommand;
/// suggested commands begin with it.
pub(super) fn page(ready: &Ready, non_conforming: usize, called: &str, now: i64) -> Page {
    let (mode, to) = (escaped(&ready.mode), escaped(&ready.to));
    let found = &ready.blockers;
    let mut page = Page::saying(if mode == to {
        format!(
            "{to} is in force already{}",
            if ready.ready { "." } else { "; these clients and servers do not conform to it:" }
        )
    } else if ready.ready {
        format!("Ready for {to} (the mode is {mode}): there are no blockers.")
    } else {
        not_ready(&to, &mode, found.len())
    });
    list(&mut page, found, now);
    accept_commands(&mut page, found, &to, called);
    if non_conforming > 0 {
        let old = count(non_conforming, "open connection");
        page.gap();
        page.say(format!(
            "In addition, {old} would not be made in {mode}; `ctl recycle` ends those whose clients see no error."
        ));
    }
    page
}

/// The headline above the blockers of a mode.
pub(super) fn not_ready(to: &str, mode: &str, blockers: usize) -> String {
    format!("Not ready for {to} (the mode is {mode}): {}.", count(blockers, "blocker"))
}

/// The blockers: clients in a table below each remedy, anything else as sentences above its remedy.
pub(super) fn list(page: &mut Page, blockers: &[BlockerReply], now: i64) {
    let mut paragraphs: Vec<(Subject, &str, Vec<&BlockerReply>)> = Vec::new();
    for blocker in blockers {
        let subject = Subject::of(blocker);
        match paragraphs.iter_mut().find(|(of, remedy, _)| (*of, *remedy) == (subject, &*blocker.remedy)) {
            Some((_, _, all)) => all.push(blocker),
            None => paragraphs.push((subject, &blocker.remedy, vec![blocker])),
        }
    }
    for (subject, remedy, all) in paragraphs {
        page.gap();
        let remedy = escaped(remedy);
        if let Some(kind) = subject.clients() {
            let each = if all.len() == 1 { "" } else { ", for each" };
            page.say(format!("{} {kind}. Remedy{each}: {remedy}.", count(all.len(), subject.noun())));
            page.table(clients(&all, now));
            continue;
        }
        for blocker in all {
            let text = escaped(&blocker.text);
            page.say(if blocker.fatal {
                StyledText::red(format!("{text} (refused without --force)"))
            } else {
                StyledText::from(text)
            });
        }
        page.item("  Remedy:", remedy);
    }
}

/// The subject of a paragraph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Client { by_tls: bool, member: bool },
    Other,
}

impl Subject {
    fn of(blocker: &BlockerReply) -> Subject {
        let member = blocker.member;
        match blocker.kind {
            BlockerKind::PlaintextOpen | BlockerKind::PlaintextSeen => Subject::Client { by_tls: false, member },
            BlockerKind::TlsOpen | BlockerKind::TlsSeen => Subject::Client { by_tls: true, member },
            BlockerKind::Upstream
            | BlockerKind::InventoryLost
            | BlockerKind::Unservable
            | BlockerKind::Bypass
            | BlockerKind::Redirect
            | BlockerKind::More
            | BlockerKind::Other => Subject::Other,
        }
    }

    /// How the clients connect; `None` for other subjects.
    const fn clients(self) -> Option<&'static str> {
        match self {
            Subject::Client { by_tls: false, .. } => Some("without TLS"),
            Subject::Client { by_tls: true, .. } => Some("with TLS"),
            Subject::Other => None,
        }
    }

    const fn noun(self) -> &'static str {
        if matches!(self, Subject::Client { member: true, .. }) { "member" } else { "client" }
    }
}

fn clients(blockers: &[&BlockerReply], now: i64) -> TextTable {
    let mut table = TextTable::new([
        ("#", 0),
        ("ADDRESS", 0),
        ("APPLICATION", 0),
        ("DRIVER", 1),
        ("OPEN", 0),
        ("SEEN", 0),
        ("KEY", 2),
    ]);
    for blocker in blockers {
        table.row([
            blocker.number.map(|number| number.to_string()).unwrap_or_default(),
            name(blocker.address.as_deref()),
            named(blocker.application.as_deref(), blocker.more_names),
            name(blocker.driver.as_deref()),
            blocker.open.unwrap_or_default().to_string(),
            seen(blocker.open.unwrap_or_default(), blocker.last_seen.as_deref().unwrap_or_default(), now),
            name(blocker.client.as_deref()),
        ]);
    }
    table
}

/// The commands that accept the clients, by number where they have one.
pub(super) fn accept_commands(page: &mut Page, blockers: &[BlockerReply], to: &str, called: &str) {
    let keyed: Vec<_> = blockers.iter().filter_map(|blocker| Some((blocker.key.as_deref()?, blocker.number))).collect();
    if keyed.is_empty() {
        return;
    }
    let whom = if keyed.len() == 1 { "this client" } else { "these clients" };
    page.gap();
    page.say(format!("Or accept that {to} refuses {whom}:"));
    let command = |(key, number): &(&str, Option<u64>)| match number {
        Some(number) => format!("{called} accept {number}"),
        None => format!("{called} accept {}", quoted(&escaped(key))),
    };
    page.commands(keyed.iter().map(command).collect());
}
