//! Renders the replies of `connections` and `whois`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::target::{ConnectionTarget, is_end};
use crate::admin::replies::ConnectionRow;
use crate::admin_client::Connections;
use crate::screen::words::{bytes, count, driver, name, notes, some, span};
use crate::screen::{Page, StyledText, TextTable};
use crate::text::escaped;

/// The page of open connections: counted by application and driver, or, with `each`, one row for each
/// connection.
pub(super) fn page(reply: &Connections, non_conforming_only: bool, each: bool) -> Page {
    let Connections { connections, left_out } = reply;
    let non_conforming = connections.iter().filter(|row| row.non_conforming.is_some()).count();
    let (waiting, made): (Vec<_>, Vec<_>) = connections.iter().partition(|row| row.waiting);
    let open = count(made.len(), "connection");
    let mut page = Page::saying(match (made.len(), non_conforming) {
        (0, _) if non_conforming_only => "Every open connection conforms to the mode in force.".to_owned(),
        (0, _) => "No connection is open.".to_owned(),
        (_, 0) => format!("{open} open, all conforming to the mode in force."),
        (_, some) => format!(
            "{open} open, {some} of them non-conforming: the mode in force would not make them (`ctl recycle` ends \
             those whose clients see no error; --each lists the reasons)."
        ),
    });
    if !waiting.is_empty() {
        page.say(format!("{} for a connection slot: every slot is taken.", waits(waiting.len())));
    }
    if each {
        page.table(table(connections.iter()));
    } else if !connections.is_empty() {
        page.table(applications(&made));
        page.gap();
        page.say("--each lists every connection.");
    }
    if *left_out > 0 {
        page.say(format!("And {} that did not fit into the answer.", count(*left_out, "more connection")));
    }
    page
}

/// The page of `whois`; `whose` is the target in words.
pub(super) fn whois(found: &[&ConnectionRow], target: ConnectionTarget, whose: &str) -> Page {
    let mut page = Page::default();
    match target {
        ConnectionTarget::End(end) => found.iter().for_each(|row| both_ends(&mut page, row, end)),
        ConnectionTarget::Ip(_) | ConnectionTarget::Number(_) if found.is_empty() => {}
        ConnectionTarget::Ip(_) => {
            page.say(format!("{whose} has {}.", count(found.len(), "open connection")));
            page.table(table(found.iter().copied()));
        }
        ConnectionTarget::Number(_) => {
            page.say(format!("{whose} has {}.", count(found.len(), "open connection")));
            // The sentence above names the application and driver, so the table leaves them out.
            let unnamed = |row: &&ConnectionRow| ConnectionRow { application: None, driver: None, ..(*row).clone() };
            page.table(table(found.iter().map(unnamed).collect::<Vec<_>>().iter()));
        }
    }
    page
}

/// A connection that was found by one of its ends.
fn both_ends(page: &mut Page, row: &ConnectionRow, end: SocketAddr) {
    let peer = escaped(&row.peer);
    let upstream = row.upstream.as_deref().map_or_else(|| "the server".to_owned(), escaped);
    page.gap();
    if row.waiting {
        let (route, age) = (escaped(&row.route), span(row.age_secs));
        return page.say(format!("{peer} is a client that waits for a connection slot on {route}, for {age}."));
    }
    page.say(match (&row.upstream_local, is_end(&row.peer, end)) {
        (Some(local), true) => format!("{peer} is a client; {upstream} sees it as {}.", escaped(local)),
        (None, true) => {
            format!("{peer} is a client; {upstream} sees no address of it (a Unix socket, or not connected yet).")
        }
        (_, false) => format!("{end} is the address at which {upstream} sees the client {peer}."),
    });
    let who = if row.member { "Member" } else { "Application" };
    let destination =
        row.destination.as_deref().map(|to| format!(", connected to {}", escaped(to))).unwrap_or_default();
    for (label, text) in [
        (who, name(row.application.as_deref())),
        ("Driver", driver(row.driver.as_deref(), row.driver_version.as_deref())),
        (
            "Connection",
            format!("{} on {}{destination}, for {}", escaped(kind(row)), escaped(&row.route), span(row.age_secs)),
        ),
        ("Certificate", row.client_subject.as_deref().map_or_else(|| "none".to_owned(), escaped)),
        ("Server", format!("{upstream}, by {}", escaped(&row.upstream_link))),
        ("Bytes", format!("{} in, {} out", bytes(row.bytes_in), bytes(row.bytes_out))),
    ] {
        page.item(label, if text.is_empty() { "unknown".to_owned() } else { text });
    }
    if let Some(reason) = &row.non_conforming {
        let moving = if row.recycling { ", being recycled" } else { "" };
        page.item("Note", StyledText::amber(format!("non-conforming ({}){moving}", escaped(reason))));
    }
}

/// The connections of one application.
#[derive(Debug, Default)]
struct ApplicationConnections<'a> {
    open: usize,
    kinds: BTreeMap<&'a str, usize>,
    addresses: BTreeSet<&'a str>,
    non_conforming: usize,
    oldest: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// The number of connections that wait, as the beginning of a sentence.
fn waits(number: usize) -> String {
    if number == 1 { "1 connection waits".to_owned() } else { format!("{number} connections wait") }
}

fn applications(connections: &[&ConnectionRow]) -> TextTable {
    let mut all = BTreeMap::<_, ApplicationConnections>::new();
    for row in connections {
        let client = (&row.application, &row.driver, &row.driver_version, row.member, &row.route);
        let one = all.entry(client).or_default();
        one.open += 1;
        *one.kinds.entry(kind(row)).or_default() += 1;
        one.addresses.insert(row.peer.rsplit_once(':').map_or(&*row.peer, |(ip, _)| ip));
        one.non_conforming += usize::from(row.non_conforming.is_some());
        one.oldest = one.oldest.max(row.age_secs);
        one.bytes_in = one.bytes_in.saturating_add(row.bytes_in);
        one.bytes_out = one.bytes_out.saturating_add(row.bytes_out);
    }
    let mut all: Vec<_> = all.into_iter().collect();
    // Sorted by the number of non-conforming connections, then of open connections, highest first.
    all.sort_by_key(|(_, one)| std::cmp::Reverse((one.non_conforming, one.open)));
    let mut table = TextTable::new([
        ("APPLICATION", 0),
        ("DRIVER", 2),
        ("OPEN", 0),
        ("NON-CONFORMING", 0),
        ("KINDS", 1),
        ("ADDRESSES", 3),
        ("OLDEST", 4),
        ("NOTE", 6),
        ("IN", 5),
        ("OUT", 5),
        ("ROUTE", 6),
    ]);
    for ((application, driver_name, version, member, route), one) in all {
        let kinds: Vec<_> = one.kinds.iter().map(|(kind, number)| format!("{number} {}", escaped(kind))).collect();
        table.row([
            name(application.as_deref()).into(),
            driver(driver_name.as_deref(), version.as_deref()).into(),
            one.open.to_string().into(),
            StyledText::amber(some(one.non_conforming as u64)),
            kinds.join(", ").into(),
            one.addresses.len().to_string().into(),
            span(one.oldest).into(),
            notes([member.then(|| "member".to_owned())]).into(),
            bytes(one.bytes_in).into(),
            bytes(one.bytes_out).into(),
            escaped(route).into(),
        ]);
    }
    table
}

fn table<'a>(connections: impl Iterator<Item = &'a ConnectionRow>) -> TextTable {
    let mut table = TextTable::new([
        ("ID", 3),
        ("CLIENT", 0),
        ("CONNECTED TO", 8),
        ("APPLICATION", 0),
        ("KIND", 0),
        ("SERVER SEES", 1),
        ("AGE", 0),
        ("NOTE", 2),
        ("SERVER", 4),
        ("LINK", 5),
        ("IN", 6),
        ("OUT", 6),
        ("DRIVER", 5),
        ("CERTIFICATE", 7),
        ("ROUTE", 4),
    ]);
    for row in connections {
        table.row([
            row.id.to_string(),
            escaped(&row.peer),
            name(row.destination.as_deref()),
            name(row.application.as_deref()),
            escaped(kind(row)),
            name(row.upstream_local.as_deref()),
            span(row.age_secs),
            notes([
                row.member.then(|| "member".to_owned()),
                row.non_conforming.as_deref().map(escaped),
                row.recycling.then(|| "being recycled".to_owned()),
                row.waiting.then(|| "waits for a slot".to_owned()),
            ]),
            name(row.upstream.as_deref()),
            escaped(&row.upstream_link),
            bytes(row.bytes_in),
            bytes(row.bytes_out),
            driver(row.driver.as_deref(), row.driver_version.as_deref()),
            name(row.client_subject.as_deref()),
            escaped(&row.route),
        ]);
    }
    table
}

fn kind(row: &ConnectionRow) -> &str {
    match row.tls_version.as_ref().unwrap_or(&row.opening) {
        // A connection that has sent nothing yet.
        unknown if unknown.is_empty() => "unknown",
        kind => kind,
    }
}
