//! What holds for any rules, and for any text.

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq, proptest};
use serde_json::json;

use super::{FROM, Remedy, Ruleset, TO, accept, dport, dump, findings, found, inbound, remedies, ruleset};

proptest! {
    /// Whatever a tool prints.
    #[test]
    fn no_text_makes_it_panic(text in "[-A-Z!:*#a-z0-9 .,@{}\"\\\\\n\t]{0,200}", port: u16) {
        let rules = [(text.replace('\n', " "), json!([dport("==", json!(FROM)), accept()]))];
        let rules: Vec<_> = rules.iter().map(|(text, expr)| (text.as_str(), expr.clone())).collect();
        let nft = ruleset("input", "drop", &rules);
        remedies(&findings(&nft, &inbound()), &nft, &inbound());
        let rule = format!("*filter\n:INPUT DROP\n-A INPUT {text} --dport {port}\n-A INPUT --dport 27017 {text}");
        if let Ok(chains) = dump::parse(&rule, "ip", "iptables-nft") {
            let ruleset = Ruleset { chains, ..Ruleset::default() };
            remedies(&findings(&ruleset, &inbound()), &ruleset, &inbound());
        }
    }

    /// A rule that is carried over is no longer found, whatever stands around it.
    #[test]
    fn what_is_carried_over_is_no_longer_found(rules in vec((0usize..6, any::<bool>()), 1..8)) {
        let lines: Vec<String> = rules.iter().map(|(which, drops)| {
            let rule = [
                "-p tcp -m tcp --dport 27017",
                "-s 10.0.0.0/8 -p tcp -m tcp --dport 27000:27020",
                "-p tcp -m tcp ! --dport 27017",
                "-s 10.0.0.1/32 -p tcp -m multiport --dports 22,27117",
                "-m conntrack --ctstate DNAT",
                "-s 10.0.0.2/32",
            ][*which];
            format!("{rule} -j {}", if *drops { "DROP" } else { "ACCEPT" })
        }).collect();
        let mut chain = lines.clone();
        let dumped = |chain: &[String]| {
            let rules: String = chain.iter().map(|rule| format!("-A INPUT {rule}\n")).collect();
            let dump = format!("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n{rules}");
            Ruleset { chains: dump::parse(&dump, "ip", "iptables-nft").unwrap(), ..Ruleset::default() }
        };
        let before = dumped(&chain);
        for (_, remedy) in remedies(&findings(&before, &inbound()), &before, &inbound()) {
            let Remedy::Commands(commands) = remedy else { panic!("{remedy:?}") };
            for command in commands {
                // iptables-nft -t filter -I INPUT NUMBER RULE, where the first rule is that of loopback.
                let words: Vec<&str> = command.splitn(7, ' ').collect();
                let number = words[5].parse::<usize>().unwrap() - 2;
                let rule = words[6].replace('\'', "");
                match words[3] {
                    "-I" => chain.insert(number, rule),
                    _ => chain[number] = rule,
                }
            }
        }
        let after = dumped(&chain);
        // And who connects gets what he got, by the redirect and without it.
        for source in ["10.0.0.1", "10.0.0.2", "10.9.9.9", "11.0.0.1"] {
            let was = decided(&lines, source, FROM, FROM);
            prop_assert_eq!(decided(&chain, source, FROM, FROM), was, "{} without: {:#?}", source, chain);
            prop_assert_eq!(decided(&chain, source, TO, FROM), was, "{} behind: {:#?}", source, chain);
        }
        prop_assert_eq!(found(&after, &inbound()), [], "{:#?}", chain);
    }
}

/// What the kernel would decide, by a reading of the rules that shares nothing with what is tested.
fn decided(chain: &[String], source: &str, port: u16, original: u16) -> bool {
    let is_port = |list: &str, port: u16| {
        list.split(',').any(|part| {
            let (from, to) = part.split_once(':').unwrap_or((part, part));
            (from.parse::<u16>().unwrap()..=to.parse().unwrap()).contains(&port)
        })
    };
    let matches = |rule: &&String| {
        let words: Vec<&str> = rule.split(' ').collect();
        (0..words.len() - 1).all(|at| {
            let (value, not) = (words[at + 1], at > 0 && words[at - 1] == "!");
            let yes = match words[at] {
                "-s" if value == "10.0.0.0/8" => source.starts_with("10."),
                "-s" => value == format!("{source}/32"),
                "--dport" | "--dports" => is_port(value, port),
                "--ctorigdstport" => is_port(value, original),
                "--ctstate" => port != original,
                _ => return true,
            };
            yes != not
        })
    };
    chain.iter().find(matches).is_none_or(|rule| rule.ends_with("ACCEPT"))
}
