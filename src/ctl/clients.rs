//! Renders the reply of `clients`.

use crate::admin::replies::ClientRow;
use crate::admin_client::Clients;
use crate::policy::{Mode, Spelling};
use crate::screen::words::{ago, count, driver, named, notes};
use crate::screen::{Page, TextTable};
use crate::text::escaped;

/// The page; `plaintext_only` if the reply has only clients without TLS.
pub(super) fn page(Clients { clients, ssl_mode }: &Clients, plaintext_only: bool, now: i64) -> Page {
    // A client cannot block the mode in force.
    let required = Mode::parse(ssl_mode, Spelling::Ssl) == Ok(Mode::Require);
    let blocks = if required { "refused without TLS" } else { "blocks requireSSL" };
    let mut page = Page::saying(sentence(clients, plaintext_only, required));
    let mut table = TextTable::new([
        ("ADDRESS", 0),
        ("KIND", 0),
        ("APPLICATION", 0),
        ("DRIVER", 0),
        ("OPEN", 0),
        ("TOTAL", 0),
        ("REFUSED", 0),
        ("LAST SEEN", 0),
        ("NOTE", 0),
        ("KEY", 0),
    ]);
    for row in clients {
        table.row([
            escaped(&row.ip),
            escaped(&row.kind),
            named(row.application.as_deref(), row.more_names),
            driver(row.driver.as_deref(), row.driver_version.as_deref()),
            row.open.to_string(),
            row.total.to_string(),
            some(row.refused),
            ago(&row.last_seen, now),
            notes([
                row.member.then(|| "member".to_owned()),
                row.blocks.then(|| blocks.to_owned()),
                row.accepted.then(|| "accepted".to_owned()),
            ]),
            // The keys that `accept` takes.
            if row.blocks || row.accepted { escaped(&row.key) } else { String::new() },
        ]);
    }
    page.table(table);
    page
}

fn sentence(clients: &[ClientRow], plaintext_only: bool, required: bool) -> String {
    let plaintext: Vec<_> = clients.iter().filter(|row| row.kind == PLAINTEXT).collect();
    if plaintext.is_empty() {
        let tls = if plaintext_only || clients.is_empty() {
            String::new()
        } else {
            format!("; {} with it", count(clients.len(), "row"))
        };
        return format!("No client has been seen without TLS{tls}.");
    }
    let open = plaintext.iter().filter(|row| row.open > 0).count();
    let blocking = plaintext.iter().filter(|row| row.blocks).count();
    let way = match (required, blocking) {
        (true, 1) => "has not moved to TLS",
        (true, _) => "have not moved to TLS",
        (false, 1) => "stands in the way of requireSSL",
        (false, _) => "stand in the way of requireSSL",
    };
    format!(
        "{} seen without TLS: {open} with connections open now; {blocking} {way}.",
        count(plaintext.len(), "client")
    )
}

/// A count, empty if zero.
fn some(number: u64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

const PLAINTEXT: &str = "plaintext";
