//! The tables of `status --wide`.

use crate::admin::replies::{
    BypassStatus, CertificateStatus, ConnectionCounts, LinkStatus, MemberStatus, SlotStatus, Status, UpstreamStatus,
};
use crate::screen::words::{ago, count, name, notes};
use crate::screen::{Page, TextTable};
use crate::text::escaped;

/// Adds all tables.
pub(super) fn add(page: &mut Page, status: &Status, now: i64) {
    page.table(connections(&status.connections));
    page.table(slots(&status.slots));
    page.table(routes(status));
    page.table(upstreams(&status.upstreams, now));
    page.table(links(&status.links, now));
    page.table(members(&status.members));
    page.table(bypass(&status.bypass));
    page.table(certificates(&status.certificates));
}

fn connections(counts: &ConnectionCounts) -> TextTable {
    let mut table = TextTable::new([
        ("CONNECTIONS", 0),
        ("PLAINTEXT", 0),
        ("TLS", 0),
        ("OUTBOUND", 1),
        ("NON-CONFORMING", 0),
        ("RECYCLING", 2),
    ]);
    let ConnectionCounts { open, plaintext, tls, outbound, non_conforming, recycling } = *counts;
    table.row([open, plaintext, tls, outbound, non_conforming, recycling].map(|number| number.to_string()));
    table
}

fn slots(slots: &[SlotStatus]) -> TextTable {
    let mut table = TextTable::new([("SLOTS", 0), ("USED", 0), ("LIMIT", 0), ("SILENT", 1), ("WAITING", 0)]);
    for SlotStatus { direction, used, limit, silent, waiting } in slots {
        let [used, limit, silent, waiting] = [used, limit, silent, waiting].map(ToString::to_string);
        table.row([escaped(direction), used, limit, silent, waiting]);
    }
    table
}

fn routes(status: &Status) -> TextTable {
    let mut table = TextTable::new([("ROUTE", 1), ("LISTENS ON", 0)]);
    for route in &status.routes {
        table.row([escaped(&route.name), escaped(&route.listen.join(", "))]);
    }
    table
}

fn upstreams(upstreams: &[UpstreamStatus], now: i64) -> TextTable {
    let mut table = TextTable::new([
        ("SERVER", 0),
        ("ROUTE", 1),
        ("UP", 0),
        ("LINK", 0),
        ("STATE", 0),
        ("SET", 1),
        ("CHECKED", 1),
        ("NOTE", 2),
    ]);
    for upstream in upstreams {
        let up = match (upstream.checked.is_empty(), upstream.up) {
            (true, _) => "not yet known",
            (_, true) => "yes",
            (_, false) => "NO",
        };
        let other = upstream.other.as_ref().map(|other| {
            let why = other.reason.as_deref().map(|why| format!(" ({})", escaped(why))).unwrap_or_default();
            format!("{}: {}{why}", escaped(&other.link), if other.up { "possible" } else { "NOT possible" })
        });
        table.row([
            escaped(&upstream.upstream),
            escaped(&upstream.route),
            up.to_owned(),
            escaped(upstream.tls_version.as_ref().unwrap_or(&upstream.link)),
            name(upstream.state.as_deref()),
            name(upstream.set_name.as_deref()),
            ago(&upstream.checked, now),
            notes([upstream.reason.as_deref().map(escaped), other]),
        ]);
    }
    table
}

fn links(links: &[LinkStatus], now: i64) -> TextTable {
    let mut table = TextTable::new([
        ("LINK TO", 0),
        ("ROUTE", 1),
        ("KIND", 0),
        ("UP", 0),
        ("OPEN", 2),
        ("LAST OK", 2),
        ("LAST FAILED", 2),
        ("WHY", 0),
        ("START WITH", 1),
    ]);
    for link in links {
        let ago = |at: &Option<String>| at.as_deref().map_or_else(|| "never".to_owned(), |at| ago(at, now));
        table.row([
            escaped(&link.destination),
            escaped(&link.route),
            escaped(&link.link),
            if link.up { "yes" } else { "NO" }.to_owned(),
            link.open.to_string(),
            ago(&link.last_ok),
            ago(&link.last_failed),
            link.reason.as_deref().map(escaped).unwrap_or_default(),
            link.suggestion.as_deref().map(escaped).unwrap_or_default(),
        ]);
    }
    table
}

fn members(members: &[MemberStatus]) -> TextTable {
    let mut table = TextTable::new([("MEMBER", 0), ("AT", 0), ("NAMED BY", 1)]);
    for member in members {
        table.row([
            escaped(&member.name),
            name(Some(&member.addresses.join(", ")).filter(|at| !at.is_empty()).map(|at| &**at)),
            escaped(&member.sources.join(", ")),
        ]);
    }
    table
}

fn bypass(bypass: &[BypassStatus]) -> TextTable {
    let mut table = TextTable::new([("BYPASSES TLSRAMP", 0), ("HERE", 0), ("OTHER END", 0), ("MEMBER", 0)]);
    for BypassStatus { direction, local, remote, member } in bypass {
        let member = if *member { "yes" } else { "-" };
        table.row([escaped(direction), escaped(local), escaped(remote), member.to_owned()]);
    }
    table
}

/// The certificates in use.
pub(super) fn certificates(certificates: &[CertificateStatus]) -> TextTable {
    let mut table = TextTable::new([("CERTIFICATE", 0), ("SUBJECT", 1), ("EXPIRES", 0), ("FILE", 2)]);
    for certificate in certificates {
        let days = certificate.days_left;
        let expires = match days {
            0.. => format!("in {}", count(days.unsigned_abs(), "day")),
            _ => format!("EXPIRED {} ago", count(days.unsigned_abs(), "day")),
        };
        let (role, subject) = (escaped(&certificate.role), escaped(&certificate.subject));
        table.row([role, subject, expires, escaped(&certificate.file)]);
    }
    table
}
