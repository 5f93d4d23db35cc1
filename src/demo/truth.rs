//! What each mode gives, written down a second time and apart from the policy: the demo compares what it saw with
//! this, so a policy that is wrong is seen. Pure.

use std::fmt;

use crate::policy::{Link, Mode};

/// What a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Got {
    /// An answer to its `hello`.
    Accepted,
    /// An error of MongoDB's.
    Error {
        /// Its number.
        code: i32,
        /// Its text.
        text: String,
    },
    /// A fatal TLS alert.
    Alert(u8),
    /// Neither, in words.
    Other(String),
}

/// What a link between two nodes is, or why there is none.
pub(super) type Linked = Result<Link, String>;

/// Everything seen of one node at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// By a plaintext client.
    pub(super) plaintext: Got,
    /// By a TLS client.
    pub(super) tls: Got,
    /// Of links to the other nodes, made just now.
    pub(super) fresh: Vec<Linked>,
    /// Of links to the other nodes that were made at the start.
    pub(super) held: Vec<Linked>,
}

/// Links are held since the start, when the mode was this; they keep what they were, as in mongod.
pub(super) const HELD_SINCE: Mode = Mode::Disabled;

/// What a plaintext client gets.
pub(super) fn plaintext(mode: Mode) -> Got {
    match mode {
        Mode::Disabled | Mode::Allow | Mode::Prefer => Got::Accepted,
        Mode::Require => Got::Error { code: TLS_REQUIRED, text: TLS_REQUIRED_TEXT.to_owned() },
    }
}

/// What a TLS client gets.
pub(super) fn tls(mode: Mode) -> Got {
    match mode {
        Mode::Disabled => Got::Alert(ACCESS_DENIED),
        Mode::Allow | Mode::Prefer | Mode::Require => Got::Accepted,
    }
}

/// What a link to another node is that is made in this mode.
pub(super) fn link(mode: Mode) -> Link {
    match mode {
        Mode::Disabled | Mode::Allow => Link::Plaintext,
        Mode::Prefer | Mode::Require => Link::Tls,
    }
}

/// Everything about a node that is not as this mode has it, in words; empty if all is.
pub(super) fn differences(node: &str, mode: Mode, seen: &Seen) -> Vec<String> {
    let mut differences = Vec::new();
    let clients = [("plaintext", &seen.plaintext, plaintext(mode)), ("TLS", &seen.tls, tls(mode))];
    for (kind, got, should) in clients {
        if *got != should {
            differences.push(format!("{node} in mode {mode}: a {kind} client should be {should}, and was {got}"));
        }
    }
    let links = [("a new link", &seen.fresh, link(mode)), ("a link from the start", &seen.held, link(HELD_SINCE))];
    for (which, found, should) in links {
        let should = link_name(should);
        let mut differ = |was: &str| {
            differences.push(format!("{node} in mode {mode}: {which} to another node should be {should}, and {was}"));
        };
        for linked in found {
            match linked {
                Ok(link) if link_name(*link) == should => {}
                Ok(link) => differ(&format!("was {}", link_name(*link))),
                Err(why) => differ(&format!("is not there: {why}")),
            }
        }
        if found.len() != LINKS {
            differ(&format!("{} of {LINKS} were found", found.len()));
        }
    }
    differences
}

/// How many cells one look at a node fills.
pub(super) fn cells(seen: &Seen) -> u64 {
    2 + (seen.fresh.len() + seen.held.len()) as u64
}

/// A link's kind in running text.
pub(super) const fn link_name(link: Link) -> &'static str {
    match link {
        Link::Plaintext => "plaintext",
        Link::Tls => "TLS",
        Link::Untouched => "TLS of the node's own",
    }
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Got::Accepted => f.write_str("accepted"),
            Got::Error { code, text } => write!(f, "refused with error {code}, \"{text}\""),
            Got::Alert(ACCESS_DENIED) => f.write_str("refused with alert 49, access_denied"),
            Got::Alert(other) => write!(f, "refused with alert {other}"),
            Got::Other(why) => write!(f, "turned away otherwise ({why})"),
        }
    }
}

/// Links of each node: one to each other node.
pub(super) const LINKS: usize = 2;
/// mongod's `SSLHandshakeFailed`.
const TLS_REQUIRED: i32 = 141;
/// mongod's words.
pub(super) const TLS_REQUIRED_TEXT: &str = "The server is configured to only allow SSL connections";
/// RFC 8446, section 6.
pub(super) const ACCESS_DENIED: u8 = 49;

#[cfg(test)]
mod tests {
    use super::*;

    fn right(mode: Mode) -> Seen {
        Seen {
            plaintext: plaintext(mode),
            tls: tls(mode),
            fresh: vec![Ok(link(mode)); LINKS],
            held: vec![Ok(Link::Plaintext); LINKS],
        }
    }

    /// One cell wrong at a time: each is found, named, and found alone.
    #[test]
    fn every_wrong_cell_of_every_mode_is_a_difference() {
        let got = [
            Got::Accepted,
            Got::Error { code: 141, text: TLS_REQUIRED_TEXT.to_owned() },
            Got::Error { code: 141, text: "SSL".to_owned() },
            Got::Error { code: 6, text: TLS_REQUIRED_TEXT.to_owned() },
            Got::Alert(49),
            Got::Alert(40),
            Got::Other("connection closed by the server".to_owned()),
        ];
        let linked = [Ok(Link::Plaintext), Ok(Link::Tls), Ok(Link::Untouched), Err("no such link".to_owned())];
        for mode in Mode::ALL {
            assert_eq!(differences("node a", mode, &right(mode)), [""; 0]);
            let mut wrong = Vec::new();
            for got in &got {
                wrong.push(("a plaintext client", Seen { plaintext: got.clone(), ..right(mode) }));
                wrong.push(("a TLS client", Seen { tls: got.clone(), ..right(mode) }));
            }
            for at in 0..LINKS {
                for linked in &linked {
                    let (mut fresh, mut held) = (right(mode), right(mode));
                    fresh.fresh[at] = linked.clone();
                    held.held[at] = linked.clone();
                    wrong.extend([("a new link", fresh), ("a link from the start", held)]);
                }
            }
            wrong.push(("a new link", Seen { fresh: vec![Ok(link(mode))], ..right(mode) }));
            wrong.push(("a link from the start", Seen { held: Vec::new(), ..right(mode) }));
            wrong.retain(|(_, seen)| *seen != right(mode));
            // 6 of 7 answers to each of two clients, 3 of 4 kinds of each of four links, and two links missing.
            assert_eq!(wrong.len(), 2 * 6 + 4 * 3 + 2);
            for (cell, seen) in wrong {
                let found = differences("node a", mode, &seen);
                assert_eq!(found.len(), 1, "{seen:?}");
                assert!(found[0].starts_with(&format!("node a in mode {mode}: {cell} ")), "{found:?}");
            }
        }
    }
}
