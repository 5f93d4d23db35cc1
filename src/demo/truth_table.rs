//! The expected result of each mode, written independently of the policy code, so that the demo finds a wrong policy.
//! PURE.

use std::fmt;

use crate::policy::{Link, Mode};

/// The result of a client's `hello`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClientResult {
    Accepted,
    Error { code: i32, text: String },
    Alert(u8),
    Other(String),
}

/// The kind of a link between two nodes, or the reason why there is none.
pub(super) type LinkResult = Result<Link, String>;

/// Everything that was observed at one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Observation {
    pub(super) plaintext: ClientResult,
    pub(super) tls: ClientResult,
    /// New links to the other nodes.
    pub(super) fresh: Vec<LinkResult>,
    /// Links to the other nodes that are held since the start.
    pub(super) held: Vec<LinkResult>,
}

/// The mode in which the held links were made. Links keep their kind, as in mongod.
pub(super) const HELD_SINCE: Mode = Mode::Disabled;

pub(super) fn plaintext(mode: Mode) -> ClientResult {
    match mode {
        Mode::Disabled | Mode::Allow | Mode::Prefer => ClientResult::Accepted,
        Mode::Require => ClientResult::Error { code: TLS_REQUIRED, text: TLS_REQUIRED_TEXT.to_owned() },
    }
}

pub(super) fn tls(mode: Mode) -> ClientResult {
    match mode {
        Mode::Disabled => ClientResult::Alert(ACCESS_DENIED),
        Mode::Allow | Mode::Prefer | Mode::Require => ClientResult::Accepted,
    }
}

/// The expected kind of a new link to another node.
pub(super) fn link(mode: Mode) -> Link {
    match mode {
        Mode::Disabled | Mode::Allow => Link::Plaintext,
        Mode::Prefer | Mode::Require => Link::Tls,
    }
}

/// Returns a text for every difference between a node and its mode.
pub(super) fn differences(node: &str, mode: Mode, seen: &Observation) -> Vec<String> {
    let mut differences = Vec::new();
    let clients = [("plaintext", &seen.plaintext, plaintext(mode)), ("TLS", &seen.tls, tls(mode))];
    for (kind, got, should) in clients {
        if *got != should {
            differences.push(format!("{node} in mode {mode}: a {kind} client should be {should}, but was {got}"));
        }
    }
    let links = [("a new link", &seen.fresh, link(mode)), ("a link from the start", &seen.held, link(HELD_SINCE))];
    for (which, found, should) in links {
        let should = link_name(should);
        let mut differ = |was: &str| {
            differences.push(format!("{node} in mode {mode}: {which} to another node should be {should}, but {was}"));
        };
        for linked in found {
            match linked {
                Ok(link) if link_name(*link) == should => {}
                Ok(link) => differ(&format!("was {}", link_name(*link))),
                Err(why) => differ(&format!("is missing: {why}")),
            }
        }
        if found.len() != LINKS {
            differ(&format!("{} of {LINKS} were found", found.len()));
        }
    }
    differences
}

/// Number of cells of the table that one observation fills.
pub(super) fn cells(seen: &Observation) -> u64 {
    2 + (seen.fresh.len() + seen.held.len()) as u64
}

pub(super) const fn link_name(link: Link) -> &'static str {
    match link {
        Link::Plaintext => "plaintext",
        Link::Tls => "TLS",
        Link::Untouched => "TLS that is passed through",
    }
}

impl fmt::Display for ClientResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientResult::Accepted => f.write_str("accepted"),
            ClientResult::Error { code, text } => write!(f, "refused with error {code}, \"{text}\""),
            ClientResult::Alert(ACCESS_DENIED) => f.write_str("refused with alert 49, access_denied"),
            ClientResult::Alert(other) => write!(f, "refused with alert {other}"),
            ClientResult::Other(why) => write!(f, "refused in another way ({why})"),
        }
    }
}

/// Number of links of each node, one to each other node.
pub(super) const LINKS: usize = 2;
/// Code of mongod's error `SSLHandshakeFailed`.
const TLS_REQUIRED: i32 = 141;
/// The text of mongod's error.
pub(super) const TLS_REQUIRED_TEXT: &str = "The server is configured to only allow SSL connections";
/// The alert `access_denied` (RFC 8446, section 6).
pub(super) const ACCESS_DENIED: u8 = 49;

#[cfg(test)]
mod tests {
    use super::*;

    fn right(mode: Mode) -> Observation {
        Observation {
            plaintext: plaintext(mode),
            tls: tls(mode),
            fresh: vec![Ok(link(mode)); LINKS],
            held: vec![Ok(Link::Plaintext); LINKS],
        }
    }

    /// With one wrong cell at a time, exactly that cell is found and named.
    #[test]
    fn every_wrong_cell_of_every_mode_is_a_difference() {
        let got = [
            ClientResult::Accepted,
            ClientResult::Error { code: 141, text: TLS_REQUIRED_TEXT.to_owned() },
            ClientResult::Error { code: 141, text: "SSL".to_owned() },
            ClientResult::Error { code: 6, text: TLS_REQUIRED_TEXT.to_owned() },
            ClientResult::Alert(49),
            ClientResult::Alert(40),
            ClientResult::Other("connection closed by the server".to_owned()),
        ];
        let linked = [Ok(Link::Plaintext), Ok(Link::Tls), Ok(Link::Untouched), Err("no such link".to_owned())];
        for mode in Mode::ALL {
            assert_eq!(differences("node a", mode, &right(mode)), [""; 0]);
            let mut wrong = Vec::new();
            for got in &got {
                wrong.push(("a plaintext client", Observation { plaintext: got.clone(), ..right(mode) }));
                wrong.push(("a TLS client", Observation { tls: got.clone(), ..right(mode) }));
            }
            for at in 0..LINKS {
                for linked in &linked {
                    let (mut fresh, mut held) = (right(mode), right(mode));
                    fresh.fresh[at] = linked.clone();
                    held.held[at] = linked.clone();
                    wrong.extend([("a new link", fresh), ("a link from the start", held)]);
                }
            }
            wrong.push(("a new link", Observation { fresh: vec![Ok(link(mode))], ..right(mode) }));
            wrong.push(("a link from the start", Observation { held: Vec::new(), ..right(mode) }));
            wrong.retain(|(_, seen)| *seen != right(mode));
            // 6 of 7 results of each of two clients, 3 of 4 kinds of each of four links, and two missing links.
            assert_eq!(wrong.len(), 2 * 6 + 4 * 3 + 2);
            for (cell, seen) in wrong {
                let found = differences("node a", mode, &seen);
                assert_eq!(found.len(), 1, "{seen:?}");
                assert!(found[0].starts_with(&format!("node a in mode {mode}: {cell} ")), "{found:?}");
            }
        }
    }
}
