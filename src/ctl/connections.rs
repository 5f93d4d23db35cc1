//! Renders the replies of `connections` and `whois`.

use std::net::SocketAddr;

use crate::admin::replies::ConnectionRow;
use crate::screen::words::{bytes, count, driver, name, notes, span};
use crate::screen::{Page, TextTable};
use crate::text::escaped;

/// The page of open connections. `left_out`: how many more did not fit the reply.
pub(super) fn page(connections: &[ConnectionRow], left_out: usize, non_conforming_only: bool) -> Page {
    let non_conforming = connections.iter().filter(|row| row.non_conforming.is_some()).count();
    let open = count(connections.len(), "connection");
    let mut page = Page::saying(match (connections.len(), non_conforming) {
        (0, _) if non_conforming_only => "Every open connection is as today's policy would make it.".to_owned(),
        (0, _) => "No connection is open.".to_owned(),
        (_, 0) => format!("{open} open, all as today's policy would make them."),
        (_, some) => format!(
            "{open} open, {some} of them non-conforming: today's policy would not make them (tlsramp ctl recycle moves \
             them)."
        ),
    });
    page.table(table(connections.iter()));
    if left_out > 0 {
        page.say(format!("And {} that did not fit the answer.", count(left_out, "more connection")));
    }
    page
}

/// The connections with this address at either end.
pub(super) fn found(connections: &[ConnectionRow], address: SocketAddr) -> Vec<&ConnectionRow> {
    let is = |text: &str| is(text, address);
    connections.iter().filter(|row| is(&row.peer) || row.upstream_local.as_deref().is_some_and(is)).collect()
}

/// The page of `whois`.
pub(super) fn whois(found: &[&ConnectionRow], address: SocketAddr) -> Page {
    let mut page = Page::default();
    for row in found {
        let peer = escaped(&row.peer);
        let upstream = row.upstream.as_deref().map_or_else(|| "the server".to_owned(), escaped);
        page.say(match (&row.upstream_local, is(&row.peer, address)) {
            (Some(local), true) => format!("{peer} is a client; {upstream} sees it as {}.", escaped(local)),
            (None, true) => format!("{peer} is a client; its link to {upstream} has no address of its own."),
            (_, false) => format!("{address}, as {upstream} sees it, is the client {peer}."),
        });
    }
    page.table(table(found.iter().copied()));
    page
}

fn table<'a>(connections: impl Iterator<Item = &'a ConnectionRow>) -> TextTable {
    let mut table = TextTable::new([
        ("ID", 0),
        ("CLIENT", 0),
        ("CONNECTED TO", 0),
        ("ROUTE", 0),
        ("KIND", 0),
        ("APPLICATION", 0),
        ("DRIVER", 0),
        ("CERTIFICATE", 0),
        ("SERVER", 0),
        ("SEEN THERE AS", 0),
        ("LINK", 0),
        ("AGE", 0),
        ("IN", 0),
        ("OUT", 0),
        ("NOTE", 0),
    ]);
    for row in connections {
        table.row([
            row.id.to_string(),
            escaped(&row.peer),
            name(row.destination.as_deref()),
            escaped(&row.route),
            escaped(row.tls_version.as_ref().unwrap_or(&row.opening)),
            name(row.application.as_deref()),
            driver(row.driver.as_deref(), row.driver_version.as_deref()),
            name(row.client_subject.as_deref()),
            name(row.upstream.as_deref()),
            name(row.upstream_local.as_deref()),
            escaped(&row.upstream_link),
            span(row.age_secs),
            bytes(row.bytes_in),
            bytes(row.bytes_out),
            notes([
                row.member.then(|| "member".to_owned()),
                row.non_conforming.as_deref().map(escaped),
                row.recycling.then(|| "being moved".to_owned()),
            ]),
        ]);
    }
    table
}

/// Whether a text is this address; IPv4-mapped IPv6 equals IPv4.
fn is(text: &str, address: SocketAddr) -> bool {
    let canonical = |address: SocketAddr| (address.ip().to_canonical(), address.port());
    text.parse().is_ok_and(|end| canonical(end) == canonical(address))
}
