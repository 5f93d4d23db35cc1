//! Renders the reply of `clients`: blockers first, then the others without TLS, then those with TLS.

use crate::admin::replies::ClientRow;
use crate::admin_client::Clients;
use crate::policy::{Mode, Spelling};
use crate::screen::words::{ago, count, driver, named, notes, some};
use crate::screen::{Page, TextTable};
use crate::text::escaped;

/// The page; `plaintext_only` if the reply has only clients without TLS.
pub(super) fn page(Clients { clients, ssl_mode }: &Clients, plaintext_only: bool, now: i64) -> Page {
    // A client cannot block the mode in force.
    let required = Mode::parse(ssl_mode, Spelling::Ssl) == Ok(Mode::Require);
    let mut page = Page::saying(sentence(clients, plaintext_only, required));
    let blocking = if required { "Refused without TLS:" } else { "Without TLS, blocking requireSSL:" };
    let others =
        "Seen without TLS, not blocking requireSSL (accepted, since seen with TLS, or not seen within --guardWindow):";
    let is_plaintext = |row: &ClientRow| row.kind == PLAINTEXT;
    section(&mut page, blocking, clients.iter().filter(|row| row.blocks), now);
    section(&mut page, others, clients.iter().filter(|row| !row.blocks && is_plaintext(row)), now);
    let in_the_way = clients.iter().filter(|row| row.blocks).count();
    section(&mut page, "With TLS:", clients.iter().filter(|row| !row.blocks && !is_plaintext(row)), now);
    if in_the_way > 0 && !required {
        page.gap();
        page.say("`ctl ready --to requireSSL` has the remedy for each.");
    }
    page
}

fn section<'a>(page: &mut Page, title: &str, clients: impl Iterator<Item = &'a ClientRow>, now: i64) {
    let mut clients = clients.peekable();
    if clients.peek().is_none() {
        return;
    }
    let mut table = TextTable::new([
        ("#", 0),
        ("ADDRESS", 0),
        ("APPLICATION", 0),
        ("DRIVER", 1),
        ("OPEN", 0),
        ("SEEN", 0),
        ("NOTE", 2),
        ("KIND", 3),
        ("TOTAL", 5),
        ("REFUSED", 4),
        ("KEY", 6),
    ]);
    for row in clients {
        table.row([
            some(row.number),
            escaped(&row.ip),
            named(row.application.as_deref(), row.more_names),
            driver(row.driver.as_deref(), row.driver_version.as_deref()),
            row.open.to_string(),
            seen(row.open, &row.last_seen, now),
            notes([row.member.then(|| "member".to_owned()), row.accepted.then(|| "accepted".to_owned())]),
            // The section's title already says `without TLS`.
            if row.kind == PLAINTEXT { String::new() } else { escaped(&row.kind) },
            row.total.to_string(),
            some(row.refused),
            escaped(&row.key),
        ]);
    }
    page.gap();
    page.say(title);
    page.table(table);
}

/// When a client was last seen: now, if it is connected.
pub(super) fn seen(open: u64, last_seen: &str, now: i64) -> String {
    if open > 0 { "now".to_owned() } else { ago(last_seen, now) }
}

fn sentence(clients: &[ClientRow], plaintext_only: bool, required: bool) -> String {
    let plaintext: Vec<_> = clients.iter().filter(|row| row.kind == PLAINTEXT).collect();
    if plaintext.is_empty() {
        let tls = if plaintext_only || clients.is_empty() {
            String::new()
        } else {
            format!("; {} with TLS", count(clients.len(), "client"))
        };
        return format!("No client has been seen without TLS{tls}.");
    }
    let open = plaintext.iter().filter(|row| row.open > 0).count();
    let blocking = plaintext.iter().filter(|row| row.blocks).count();
    let way = match (required, blocking) {
        (true, 1) => "has not moved to TLS",
        (true, _) => "have not moved to TLS",
        (false, 1) => "blocks requireSSL",
        (false, _) => "block requireSSL",
    };
    format!(
        "{} seen without TLS: {open} with connections open now; {blocking} {way}.",
        count(plaintext.len(), "client")
    )
}

const PLAINTEXT: &str = "plaintext";
