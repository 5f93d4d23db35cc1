//! The table: its texts and columns.

use super::files::Files;
use super::node::DemoNode;
use super::screen::{Colour, Screen};
use super::truth_table::{ACCESS_DENIED, ClientResult, LINKS, LinkResult, Observation, TLS_REQUIRED_TEXT, link_name};
use crate::admin_client::quoted;
use crate::policy::{Link, Mode};

/// Prints the nodes and clients, and the header of the table.
pub(super) fn introduction(screen: &Screen, nodes: &[DemoNode], clients: usize) {
    screen
        .line(screen.paint(Colour::Heading, "Three nodes change from plaintext to TLS only, without an interruption."));
    screen.line("");
    for node in nodes {
        let (name, inbound, server) = (node.name, node.inbound, node.server.local_addr());
        screen.line(format_args!("  {name:NAME$}tlsramp {inbound} -> plaintext-only server {server}"));
    }
    let text = format!("{clients}, steadily inserting and counting, at first in plaintext");
    screen.line(format_args!("  {:NAME$}{text}", "clients"));
    screen.line(format_args!("  {:NAME$}the nodes send each other heartbeats, at first in plaintext", "links"));
    screen.line("");
    let heads = [cell("plaintext client"), cell("TLS client"), "links to the other nodes".to_owned()].concat();
    screen.line(screen.paint(Colour::Faint, &format!("  {:NAME$}{heads}", "")));
}

/// Prints the line above a mode's rows.
pub(super) fn mode(screen: &Screen, mode: Mode) {
    screen.line(screen.paint(Colour::Heading, &format!("sslMode {mode}")));
}

/// Prints the row of one node in its new mode.
pub(super) fn row(screen: &Screen, name: &str, seen: &Observation, as_it_should_be: bool) {
    let client = |got: &ClientResult| {
        let (text, colour) = short(got);
        screen.paint(colour, &cell(text))
    };
    let mark = if as_it_should_be { "" } else { "   <- differs from the truth table" };
    let (plaintext, tls, links) = (client(&seen.plaintext), client(&seen.tls), links(&seen.fresh, &seen.held));
    screen.line(format_args!("  {name:NAME$}{plaintext}{tls}{links}{}", screen.paint(Colour::Bad, mark)));
}

/// Prints the row about the clients after they were moved.
pub(super) fn moved(screen: &Screen, moved: usize) {
    let text = format!("{moved} of {moved} moved from plaintext to TLS, one by one, without a pause");
    screen.line(format_args!("  {:NAME$}{text}", "clients"));
}

/// Prints the meaning of the short words in the table.
pub(super) fn legend(screen: &Screen) {
    screen.line("");
    let lines = [
        ("alert 49", "the TLS alert access_denied".to_owned()),
        ("error 141", format!("\"{TLS_REQUIRED_TEXT}\"")),
        ("old", "links made before the change keep their kind, as in mongod".to_owned()),
    ];
    for (word, meaning) in lines {
        screen.line(screen.paint(Colour::Faint, &format!("  {word:LEGEND$}{meaning}")));
    }
}

/// For `--keep`: prints commands that can be pasted.
pub(super) fn kept(screen: &Screen, nodes: &[DemoNode], files: &Files) {
    let (ca, client) = (quoted(&files.ca().to_string_lossy()), quoted(&files.client_pem().to_string_lossy()));
    screen.line("");
    screen.line(screen.paint(Colour::Heading, "Everything keeps running, in mode requireSSL, until Ctrl-C."));
    screen.line("");
    for node in nodes {
        screen.line(format_args!("  {:NAME$}{}", node.name, node.inbound));
    }
    screen.line(format_args!("  {:NAME$}{ca}", "CA"));
    screen.line(format_args!("  {:NAME$}{client}", "client"));
    let Some(node) = nodes.first() else { return };
    let (name, inbound, port) = (node.name, node.inbound, node.inbound.port());
    screen.line("");
    screen.line(format_args!("{name} with TLS:"));
    screen.line("");
    screen.line(format_args!(
        "  mongosh --host 127.0.0.1 --port {port} --tls --tlsCAFile {ca} --tlsCertificateKeyFile {client}"
    ));
    screen.line(format_args!(
        "  openssl s_client -connect {inbound} -CAfile {ca} -cert {client} -key {client} </dev/null"
    ));
    screen.line("");
    screen.line(format_args!("{name} in plaintext, refused with the reason:"));
    screen.line("");
    screen.line(format_args!("  mongosh --host 127.0.0.1 --port {port}"));
    screen.line("");
    screen.line(format_args!("The admin port of {name}: status, clients, a step back, metrics:"));
    screen.line("");
    screen.line(format_args!("  tlsramp ctl --admin {} status", node.admin));
    screen.line(format_args!("  tlsramp ctl --admin {} clients", node.admin));
    screen.line(format_args!("  tlsramp ctl --admin {} mode preferSSL --force", node.admin));
    screen.line(format_args!("  curl http://{}/metrics", node.admin));
}

/// Formats a number with separators between thousands.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A result as a cell of the table; other results are reported in full at the end.
fn short(got: &ClientResult) -> (&'static str, Colour) {
    match got {
        ClientResult::Accepted => ("accepted", Colour::Good),
        ClientResult::Error { code: 141, .. } => ("refused: error 141", Colour::Refused),
        ClientResult::Alert(ACCESS_DENIED) => ("refused: alert 49", Colour::Refused),
        ClientResult::Error { .. } | ClientResult::Alert(_) | ClientResult::Other(_) => ("something else", Colour::Bad),
    }
}

/// The kinds of new links, and of held links if they differ.
fn links(fresh: &[LinkResult], held: &[LinkResult]) -> String {
    let (new, old) = (kinds(fresh), kinds(held));
    if new == old { new } else { format!("{new} ({LINKS} old: {old})") }
}

/// One word if all links have the same kind.
fn kinds(links: &[LinkResult]) -> String {
    let mut kinds: Vec<_> =
        links.iter().map(|linked| linked.as_ref().map_or("none", |link: &Link| link_name(*link))).collect();
    kinds.dedup();
    if kinds.is_empty() { "none".to_owned() } else { kinds.join(" and ") }
}

fn cell(text: &str) -> String {
    format!("{text:CELL$}")
}

/// Widths of the columns: the node's name, and each client's.
const NAME: usize = 10;
const CELL: usize = 21;
const LEGEND: usize = 11;

#[cfg(test)]
mod tests {
    use super::{kinds, links, thousands};
    use crate::policy::Link;

    #[test]
    fn numbers_are_readable() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn links_have_short_texts() {
        let (plain, tls) = (vec![Ok(Link::Plaintext); 2], vec![Ok(Link::Tls); 2]);
        assert_eq!(links(&plain, &plain), "plaintext");
        assert_eq!(links(&tls, &plain), "TLS (2 old: plaintext)");
        assert_eq!(kinds(&[Ok(Link::Tls), Err("gone".to_owned())]), "TLS and none");
        assert_eq!(kinds(&[]), "none");
    }
}
