//! The text of each rule by its handle, from `nft -a list ruleset`: for people, and to write a rule like it.

use std::collections::BTreeMap;

use super::ruleset::Name;

/// The texts of all rules.
pub(super) fn texts(listing: &str) -> BTreeMap<(Name, u64), String> {
    let mut texts = BTreeMap::new();
    let (mut family, mut table, mut chain) = (String::new(), String::new(), None::<String>);
    for line in listing.lines() {
        let indent = line.len() - line.trim_start_matches('\t').len();
        let (text, handle) = split_handle(line.trim());
        let mut words = text.split_whitespace();
        match (indent, words.next()) {
            (0, Some("table")) => {
                family = words.next().unwrap_or_default().to_owned();
                table = words.next().unwrap_or_default().to_owned();
            }
            // Sets, maps and counters stand at the same depth, and have no rules.
            (1, Some(what)) => chain = if what == "chain" { words.next().map(str::to_owned) } else { None },
            (2, Some(_)) => {
                if let (Some(chain), Some(handle)) = (&chain, handle) {
                    texts.insert(((family.clone(), table.clone(), chain.clone()), handle), text.to_owned());
                }
            }
            _ => {}
        }
    }
    texts
}

fn split_handle(line: &str) -> (&str, Option<u64>) {
    match line.rsplit_once(" # handle ") {
        Some((text, handle)) => (text.trim_end(), handle.parse().ok()),
        None => (line, None),
    }
}

#[cfg(test)]
mod tests {
    use super::texts;

    #[test]
    fn by_chain_and_handle() {
        let listing = "table inet filter { # handle 3\n\tset ports { # handle 3\n\t\ttype inet_service\n\t}\n\n\
                       \tchain input { # handle 2\n\t\ttype filter hook input priority filter; policy drop;\n\
                       \t\ttcp dport 27017 accept comment \"a # handle 5\" # handle 14\n\t}\n}\n\
                       table ip filter { # handle 4\n\tchain input { # handle 1\n\t\tdrop # handle 14\n\t}\n}\n";
        let texts = texts(listing);
        let text = |family: &str| texts[&((family.to_owned(), "filter".to_owned(), "input".to_owned()), 14)].clone();
        assert_eq!(text("inet"), "tcp dport 27017 accept comment \"a # handle 5\"");
        assert_eq!(text("ip"), "drop");
        assert_eq!(texts.len(), 2);
    }
}
