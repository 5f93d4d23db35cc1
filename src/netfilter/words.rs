//! A rule's text with another port: for nft, which prints a rule as it is written, and for iptables-save, which does too.

use super::dump;

/// A match on the destination port within a rule of nft's.
struct Found {
    /// From the protocol's name to the end of the value.
    from: usize,
    to: usize,
    protocol: &'static str,
    is_map: bool,
}

/// A rule of nft's that is for `port`, and otherwise does the same. `verdict` stands in for a map of verdicts. None where
/// the port is not by itself, or the text is not one that nft takes.
pub(super) fn nft_for(text: &str, port: u16, verdict: Option<&str>) -> Option<String> {
    let found = ports(text)?;
    let first = found.first()?;
    // What only iptables can write, and what belongs to one rule alone.
    if ["xt match ", "xt target ", " meter "].iter().any(|words| text.contains(words)) {
        return None;
    }
    let mut rule = text[..first.from].to_owned();
    rule.push_str(&format!("{} dport {port}", first.protocol));
    if first.is_map {
        rule.push_str(&format!(" {}", verdict?));
    }
    let mut end = first.to;
    for other in &found[1..] {
        rule.push_str(text[end..other.from].trim_end());
        end = other.to;
    }
    rule.push_str(&text[end..]);
    Some(without_counts(&rule))
}

/// Whether a rule of nft's is for TCP alone.
pub(super) fn is_for_tcp(text: &str) -> bool {
    unquoted(text, "tcp dport ").next().is_some()
}

/// As nft prints counters, less their counts.
pub(super) fn without_counts(text: &str) -> String {
    let mut words = text.split(' ').peekable();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        kept.push(word);
        if word == "counter" && words.peek() == Some(&"packets") {
            // packets N bytes N
            words.by_ref().take(4).for_each(drop);
        }
    }
    kept.join(" ")
}

fn ports(text: &str) -> Option<Vec<Found>> {
    let mut all = Vec::new();
    for protocol in ["tcp", "th"] {
        let key = format!("{protocol} dport ");
        for from in unquoted(text, &key) {
            let after = &text[from + key.len()..];
            let (operator, value) = match after.split_once(' ') {
                Some((first @ ("!=" | "==" | "<" | ">" | "<=" | ">=" | "vmap"), value)) => (first, value),
                _ => ("", after),
            };
            let to = text.len() - value.len() + length(value)?;
            // One of several things that are looked up together, or a part of its bits.
            let joined = text[..from].trim_end().ends_with(" .");
            if joined
                || [" . ", " & ", " | "].iter().any(|sign| text[to..].starts_with(sign))
                || after.starts_with(['.', '&'])
            {
                return None;
            }
            all.push(Found { from, to, protocol, is_map: operator == "vmap" });
        }
    }
    all.sort_by_key(|found| found.from);
    Some(all)
}

/// Where a key stands in a text, at the start of a word and outside of quotes.
fn unquoted<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(key).map(|(at, _)| at).filter(move |at| {
        let before = &text[..*at];
        (before.is_empty() || before.ends_with(' ')) && before.matches('"').count().is_multiple_of(2)
    })
}

/// How long the value at the start is: a set in braces, or a word.
fn length(value: &str) -> Option<usize> {
    if value.starts_with('{') {
        return value.find('}').map(|end| end + 1);
    }
    Some(value.find(' ').unwrap_or(value.len()))
}

/// A rule of iptables-save's that is for `port`, and otherwise does the same.
pub(super) fn iptables_for(text: &str, port: u16) -> Option<Vec<String>> {
    let mut rule: Vec<String> = Vec::new();
    let mut words = dump::words(text).into_iter();
    let mut named = false;
    while let Some(word) = words.next() {
        let is_port = matches!(word.as_str(), "--dport" | "--dports");
        if word == "--ports" {
            return None;
        }
        if is_port {
            words.next()?;
            if rule.last().is_some_and(|last| last == "!") {
                rule.pop();
            }
        }
        rule.push(word);
        if is_port {
            rule.push(port.to_string());
            named = true;
        }
    }
    named.then_some(rule)
}

/// A command's word, as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:,+=@%-".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
