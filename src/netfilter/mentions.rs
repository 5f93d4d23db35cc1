//! Finds rules of the host that name a port, by text search: with `--redirect`, these rules see another port than
//! before. The rules are listed for the operator, not interpreted.

use super::script::MARK;

/// Returns the lines of `nft -a list ruleset` that name one of the ports, each with its table and chain. Tables of
/// tlsramp are left out.
pub(super) fn in_nft(listing: &str, ports: [u16; 2]) -> Vec<String> {
    let mut found = Vec::new();
    for table in tables(listing) {
        if table.iter().any(|line| line.contains(&format!("comment \"{MARK}"))) {
            continue;
        }
        let mut block = "";
        for line in table.iter().map(|line| line.trim()) {
            // The line begins a chain, a set or a map. A list of elements may also continue on further lines.
            if line.contains('{') && !line.contains('}') && !line.starts_with("elements") {
                block = line.split(" {").next().unwrap_or_default();
            }
            if names(line, ports) {
                let table = table.first().and_then(|line| line.split(" {").next()).unwrap_or_default();
                found.push(format!("{table}, {block}: {line}"));
            }
        }
    }
    found
}

/// Returns the lines of iptables-save that name one of the ports, each with its table.
pub(super) fn in_iptables(command: &str, listing: &str, ports: [u16; 2]) -> Vec<String> {
    let mut table = "";
    let mut found = Vec::new();
    for line in listing.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if line.starts_with("-A") && names(line, ports) {
            found.push(format!("{command} -t {table}: {line}"));
        }
    }
    found
}

/// Splits a listing into the lines of each table.
fn tables(listing: &str) -> Vec<Vec<&str>> {
    let mut tables: Vec<Vec<&str>> = Vec::new();
    for line in listing.lines() {
        if line.starts_with("table ") {
            tables.push(Vec::new());
        }
        if let Some(table) = tables.last_mut() {
            table.push(line);
        }
    }
    tables
}

/// Returns whether a line names one of the ports: as a number, within a range such as `27000-27050` or `27000:27050`,
/// or by a comparison whose bound separates the two ports, such as `>= 27100`.
fn names(line: &str, ports: [u16; 2]) -> bool {
    let line = line.split(" # handle").next().unwrap_or_default();
    let words = line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-' && letter != ':');
    let between = |port: u16| (ports[0].min(ports[1])..=ports[0].max(ports[1])).contains(&port);
    let compares = line.contains(['<', '>']);
    words.into_iter().any(|word| {
        let range = word.split_once(['-', ':']).unwrap_or((word, word));
        match (range.0.parse::<u16>(), range.1.parse::<u16>()) {
            (Ok(low), Ok(high)) => ports.iter().any(|port| (low..=high).contains(port)) || (compares && between(low)),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{in_iptables, in_nft, names};

    #[test]
    fn a_port_is_named_by_itself_or_in_a_range() {
        let named = [
            "tcp dport 27017 accept",
            "tcp dport { 22, 27117 } drop",
            "tcp dport 27000-27050 ip saddr 10.0.0.1 accept",
            "-A INPUT -p tcp -m multiport --dports 22,27000:27020 -j ACCEPT",
            "elements = { 22, 27017 }",
            "tcp dport != 27017 drop",
            "ip saddr . tcp dport { 10.0.0.1 . 27017 } accept",
            "27017 : jump mongo }",
            "tcp dport >= 27100 drop",
            "tcp dport < 27018 accept",
        ];
        let others = [
            "tcp dport 2701 accept",
            "tcp dport 127017 accept",
            "counter packets 5 bytes 9 accept # handle 27017",
            "ip6 saddr fd00::27 accept",
            "tcp dport 28000-29000 accept",
            "oifname \"lo\" accept",
            "tcp dport >= 27118 drop",
        ];
        for line in named {
            assert!(names(line, [27017, 27117]), "{line}");
        }
        for line in others {
            assert!(!names(line, [27017, 27117]), "{line}");
        }
    }

    #[test]
    fn mentions_have_their_table_and_chain() {
        let listing = "table inet filter { # handle 1\n\tset ports { # handle 2\n\t\ttype inet_service\n\
                       \t\telements = { 22,\n\t\t\t     27017 }\n\t}\n\n\tchain input { # handle 3\n\
                       \t\ttype filter hook input priority filter; policy drop;\n\t\ttcp dport 27017 accept # handle 4\n\t}\n}\n\
                       table inet tlsramp {\n\tchain output {\n\t\ttcp dport 27017 redirect to :27217 comment \"tlsramp: outbound\"\n\t}\n}\n";
        let expected = [
            "table inet filter, set ports: 27017 }",
            "table inet filter, chain input: tcp dport 27017 accept # handle 4",
        ];
        assert_eq!(in_nft(listing, [27017, 27117]), expected);
        let saved = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp --dport 27017 -j ACCEPT\n-A INPUT -p tcp --dport 22 -j ACCEPT\nCOMMIT\n";
        let expected = ["iptables-legacy -t filter: -A INPUT -p tcp --dport 27017 -j ACCEPT"];
        assert_eq!(in_iptables("iptables-legacy", saved, [27017, 27117]), expected);
    }
}
