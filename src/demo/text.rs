//! The words and columns of what is shown. Pure, but for the colours.

use std::path::Path;

use super::files::Files;
use super::node::Node;
use super::screen::{Colour, Screen};
use super::truth::{ACCESS_DENIED, Got, LINKS, Linked, Seen, TLS_REQUIRED_TEXT, link_name};
use crate::policy::{Link, Mode};

/// What is about to be seen.
pub(super) fn introduction(screen: &Screen, nodes: &[Node], clients: usize) {
    screen.line(screen.paint(Colour::Heading, "Three nodes go from plaintext to TLS only, and nothing stops."));
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

/// The line above a mode's rows.
pub(super) fn mode(screen: &Screen, mode: Mode) {
    screen.line(screen.paint(Colour::Heading, &format!("sslMode {mode}")));
}

/// What one node gave in its new mode.
pub(super) fn row(screen: &Screen, name: &str, seen: &Seen, as_it_should_be: bool) {
    let client = |got: &Got| {
        let (text, colour) = short(got);
        screen.paint(colour, &cell(text))
    };
    let mark = if as_it_should_be { "" } else { "   <- not as the truth table says" };
    let (plaintext, tls, links) = (client(&seen.plaintext), client(&seen.tls), links(&seen.fresh, &seen.held));
    screen.line(format_args!("  {name:NAME$}{plaintext}{tls}{links}{}", screen.paint(Colour::Bad, mark)));
}

/// The clients have been moved.
pub(super) fn moved(screen: &Screen, moved: usize) {
    let text = format!("{moved} of {moved} moved from plaintext to TLS, one by one, all at work");
    screen.line(format_args!("  {:NAME$}{text}", "clients"));
}

/// What the short words in the table mean.
pub(super) fn legend(screen: &Screen) {
    screen.line("");
    let lines = [
        ("alert 49", "the TLS alert access_denied".to_owned()),
        ("error 141", format!("\"{TLS_REQUIRED_TEXT}\"")),
        ("old", "links made before the change keep what they were, as in mongod".to_owned()),
    ];
    for (word, meaning) in lines {
        screen.line(screen.paint(Colour::Faint, &format!("  {word:LEGEND$}{meaning}")));
    }
}

/// How to go on by hand: lines that can be pasted.
pub(super) fn kept(screen: &Screen, nodes: &[Node], files: &Files) {
    let (ca, client) = (quoted(&files.ca()), quoted(&files.client_pem()));
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
    screen.line(format_args!("{name} by TLS:"));
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
}

/// A number with its thousands apart.
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

/// An answer in a table's cell; any other is told in full below.
fn short(got: &Got) -> (&'static str, Colour) {
    match got {
        Got::Accepted => ("accepted", Colour::Good),
        Got::Error { code: 141, .. } => ("refused: error 141", Colour::Refused),
        Got::Alert(ACCESS_DENIED) => ("refused: alert 49", Colour::Refused),
        Got::Error { .. } | Got::Alert(_) | Got::Other(_) => ("something else", Colour::Bad),
    }
}

/// New links; and those from the start, where they differ.
fn links(fresh: &[Linked], held: &[Linked]) -> String {
    let (new, old) = (kinds(fresh), kinds(held));
    if new == old { new } else { format!("{new} ({LINKS} old: {old})") }
}

/// The kinds of some links: one word if they are the same.
fn kinds(links: &[Linked]) -> String {
    let mut kinds: Vec<_> =
        links.iter().map(|linked| linked.as_ref().map_or("none", |link: &Link| link_name(*link))).collect();
    kinds.dedup();
    if kinds.is_empty() { "none".to_owned() } else { kinds.join(" and ") }
}

fn cell(text: &str) -> String {
    format!("{text:CELL$}")
}

/// For a shell: quoted where it has to be.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Columns: the node's name, and each client's.
const NAME: usize = 10;
const CELL: usize = 21;
const LEGEND: usize = 11;

#[cfg(test)]
mod tests {
    use super::{kinds, links, quoted, thousands};
    use crate::policy::Link;

    #[test]
    fn numbers_are_readable() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn links_are_told_in_short() {
        let (plain, tls) = (vec![Ok(Link::Plaintext); 2], vec![Ok(Link::Tls); 2]);
        assert_eq!(links(&plain, &plain), "plaintext");
        assert_eq!(links(&tls, &plain), "TLS (2 old: plaintext)");
        assert_eq!(kinds(&[Ok(Link::Tls), Err("gone".to_owned())]), "TLS and none");
        assert_eq!(kinds(&[]), "none");
    }

    #[test]
    fn paths_can_be_pasted() {
        assert_eq!(quoted("/tmp/a-1.pem".as_ref()), "/tmp/a-1.pem");
        assert_eq!(quoted("/tmp/it's".as_ref()), r"'/tmp/it'\''s'");
    }
}
