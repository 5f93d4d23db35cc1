//! Patterns that match the names of a client certificate, for `--adminAllow`.

use std::fmt;
use std::str::FromStr;

use crate::limits::PATTERN_BYTES;

/// A pattern of `--adminAllow`: `*` matches any run of characters, `?` matches one. Matching is case-sensitive,
/// except for DNS names.
///
/// A pattern with the prefix `DNS:`, `IP:`, `email:` or `URI:` is matched against the subject alternative names of that
/// kind; any other pattern against the whole subject as in RFC 4514 (`CN=ops,O=Example`). A subject pattern that ends
/// in `,*` matches any number of further parts, including none: `CN=ops,*` matches `CN=ops`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        if text.is_empty() || text.len() > PATTERN_BYTES {
            return Err(format!("expected 1 to {PATTERN_BYTES} bytes, such as CN=ops,* or DNS:*.ops.example.net"));
        }
        Ok(Pattern(text.to_owned()))
    }
}

impl Pattern {
    /// Whether a certificate matches. `names` are its subject alternative names, each prefixed with its kind.
    pub fn matches(&self, subject: &str, names: &[String]) -> bool {
        if self.0.starts_with(DNS) {
            let pattern = lower_dns(&self.0);
            return names.iter().filter(|name| name.starts_with(DNS)).any(|name| glob(&pattern, &lower_dns(name)));
        }
        if KINDS.iter().any(|kind| self.0.starts_with(kind)) {
            return names.iter().any(|name| glob(&self.0, name));
        }
        glob(&self.0, subject) || open_ended(&self.0).is_some_and(|start| glob(start, subject))
    }

    /// Whether the pattern has only stars (before a final `,*`), so that it matches every certificate of the CA.
    pub(super) fn is_everyone(&self) -> bool {
        let start = open_ended(&self.0).unwrap_or(&self.0);
        !start.is_empty() && start.bytes().all(|byte| byte == b'*')
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The prefixes of subject alternative names, as in [`crate::tls::subject_alt_names`].
const KINDS: [&str; 4] = ["DNS:", "IP:", "email:", "URI:"];

const DNS: &str = "DNS:";

/// The pattern before a final `,*`; `None` if it does not end so, or the comma is escaped.
fn open_ended(pattern: &str) -> Option<&str> {
    matches!(units(pattern).as_slice(), [.., ",", "*"]).then(|| pattern.strip_suffix(",*"))?
}

/// Converts a DNS name with its prefix `DNS:` to lower case, except the prefix.
fn lower_dns(name: &str) -> String {
    name.strip_prefix(DNS).map(|host| DNS.to_owned() + &host.to_ascii_lowercase()).unwrap_or_default()
}

/// Whether a text matches a pattern. Backtracks only to the last star, so the cost is bounded by the product of the
/// lengths.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (units(pattern), units(text));
    let (mut at, mut seen) = (0, 0);
    let mut star = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(&"*") => {
                star = Some((at, seen));
                at += 1;
            }
            Some(wanted) if *wanted == "?" || *wanted == text[seen] => {
                at += 1;
                seen += 1;
            }
            Some(_) | None => {
                // Let the last star match one more character.
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                (at, seen) = (place + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == "*")
}

/// Splits a text into characters; an escape of RFC 4514 counts as one. So an escaped comma within a value is no
/// separator: `*,O=Ops` does not match the CN `evil,O=Ops`.
fn units(text: &str) -> Vec<&str> {
    let mut units = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let escaped = if first == '\\' { rest[1..].chars().next() } else { None };
        let (unit, after) = rest.split_at(first.len_utf8() + escaped.map_or(0, char::len_utf8));
        units.push(unit);
        rest = after;
    }
    units
}

#[cfg(test)]
mod tests {
    use super::{Pattern, glob};

    #[test]
    fn stars_and_question_marks() {
        let rows = [
            ("", "", true),
            ("*", "", true),
            ("*", "anything", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbd", false),
            ("a*b*c", "aXbYbZc", true),
            ("?", "é", true),
            ("?", "", false),
            ("CN=ops,*", "CN=ops,O=Example", true),
            ("CN=ops", "CN=ops,O=Example", false),
            ("cn=ops*", "CN=ops", false),
            ("**a", "bca", true),
            ("*,O=Ops", "CN=good,O=Ops", true),
            ("*,O=Ops", "CN=evil\\,O=Ops", false),
            ("CN=a\\,b,O=Ops", "CN=a\\,b,O=Ops", true),
            ("*", "ends with \\", true),
        ];
        for (pattern, text, expected) in rows {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
        let hard = "a*".repeat(100);
        assert!(!glob(&hard, &"a".repeat(99)), "a hundred are wanted");
    }

    #[test]
    fn an_open_end_takes_no_further_part_too() {
        for (pattern, subject, expected) in [
            ("CN=ops,*", "CN=ops", true),
            ("CN=ops,*", "CN=ops,O=Example", true),
            ("CN=ops,*", "CN=ops2", false),
            ("CN=ops,*", "CN=ops\\,O\\=Example", false),
            ("CN=ops\\,*", "CN=ops", false),
            ("CN=ops\\,*", "CN=ops\\", false),
            ("CN=ops\\,*", "CN=ops\\,x", true),
            ("CN=*,*", "CN=ops", true),
            (",*", "", true),
            ("CN=OPS,*", "CN=ops", false),
        ] {
            assert_eq!(pattern.parse::<Pattern>().unwrap().matches(subject, &[]), expected, "{pattern} {subject}");
        }
        for (pattern, everyone) in [("*", true), ("*,*", true), (",*", false), ("*\\,*", false), ("CN=*,*", false)] {
            assert_eq!(pattern.parse::<Pattern>().unwrap().is_everyone(), everyone, "{pattern}");
        }
    }

    #[test]
    fn dns_names_are_compared_without_case() {
        for (pattern, name, expected) in [
            ("DNS:*.Ops.Example.NET", "DNS:node.ops.example.net", true),
            ("DNS:*.ops.example.net", "DNS:NODE.OPS.EXAMPLE.NET", true),
            ("DNS:*.ops.example.net", "email:x.ops.example.net", false),
            ("email:OPS@example.net", "email:ops@example.net", false),
            ("dns:*", "DNS:a", false),
        ] {
            assert_eq!(pattern.parse::<Pattern>().unwrap().matches("CN=x", &[name.to_owned()]), expected, "{pattern}");
        }
    }

    #[test]
    fn a_kind_is_held_against_names_and_all_else_against_the_subject() {
        let names = ["DNS:node.ops.example.net".to_owned(), "IP:10.0.0.1".to_owned()];
        let matches = |pattern: &str| pattern.parse::<Pattern>().unwrap().matches("CN=DNS:x,O=Ops", &names);
        assert!(matches("DNS:*.ops.example.net") && matches("IP:10.0.0.?") && matches("*,O=Ops"));
        assert!(!matches("DNS:x,O=Ops") && !matches("*example.net") && !matches("email:*"));
        assert!("".parse::<Pattern>().is_err() && "x".repeat(2000).parse::<Pattern>().is_err());
        assert!("**".parse::<Pattern>().unwrap().is_everyone() && !"DNS:*".parse::<Pattern>().unwrap().is_everyone());
    }
}
