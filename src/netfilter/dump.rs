//! The rules of iptables, from `iptables-save`, said as nft would say them as far as they tell of a connection's port,
//! interface and state; the rest is kept as it stands. Of the kernel's older tables nft shows nothing at all, of the newer
//! ones too little: matches of an extension are opaque to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ruleset::{Base, Chain, Name, Rule, Tool};

/// The chains of a dump. `family` is `ip` or `ip6`, with a word behind where nft has the same names.
///
/// # Errors
/// A table that the tool would not show.
pub(super) fn parse(dump: &str, family: &str, command: &'static str) -> Result<BTreeMap<Name, Chain>, String> {
    let mut chains: BTreeMap<Name, Chain> = BTreeMap::new();
    let mut table = String::new();
    for line in dump.lines().map(str::trim) {
        let whole = |chain: &str| (family.to_owned(), table.clone(), chain.to_owned());
        if line.starts_with('#') && line.contains("incompatible") {
            return Err(line.trim_start_matches(['#', ' ']).to_owned());
        } else if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table);
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_whitespace();
            let (name, policy) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let (name, base) = (whole(name), base(&table, name, policy));
            let chain = Chain { name: name.clone(), base, rules: Vec::new(), by: Tool::Iptables(command) };
            chains.insert(name, chain);
        } else if let Some(("-A", rest)) = line.split_once(' ') {
            let words = words(rest);
            let Some((name, rule)) = words.split_first() else { continue };
            let statements = statements(rule, |chain| chains.contains_key(&whole(chain)));
            if let Some(chain) = chains.get_mut(&whole(name)) {
                let handle = chain.rules.len() as u64 + 1;
                let text = rest.split_once(' ').map_or("", |(_, rule)| rule).to_owned();
                chain.rules.push(Rule { handle, comment: String::new(), statements, text });
            }
        }
    }
    Ok(chains)
}

/// Where the built-in chains hang: their names are in capitals, and their priorities fixed.
fn base(table: &str, chain: &str, policy: &str) -> Option<Base> {
    let hook = match chain {
        "PREROUTING" | "INPUT" | "FORWARD" | "OUTPUT" | "POSTROUTING" => chain.to_lowercase(),
        _ => return None,
    };
    let priority = match table {
        "raw" => -300,
        "mangle" => -150,
        "nat" => -100,
        "security" => 50,
        _ => 0,
    };
    let kind = if table == "nat" { "nat" } else { "filter" };
    Some(Base { kind: kind.to_owned(), hook, priority, drops: policy == "DROP" })
}

/// The words of a line, as iptables-save quotes them.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted, mut begun) = (String::new(), false, false);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if quoted => word.extend(letters.next()),
            '"' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            letter => {
                word.push(letter);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

fn statements(words: &[String], is_chain: impl Fn(&str) -> bool) -> Vec<Value> {
    let mut statements = Vec::new();
    let mut words = words.iter().map(String::as_str).peekable();
    let mut not = false;
    while let Some(word) = words.next() {
        if word == "!" {
            not = true;
            continue;
        }
        let op = if not { "!=" } else { "==" };
        let mut matched =
            |left: Value, right: Value| statements.push(json!({"match": {"op": op, "left": left, "right": right}}));
        let mut value = || words.next().unwrap_or_default();
        match word {
            // Which extension an option is of, it says by its name; a comment says nothing to the kernel.
            "-m" | "--comment" => drop(value()),
            "-p" => matched(json!({"meta": {"key": "l4proto"}}), json!(value())),
            "-i" => matched(json!({"meta": {"key": "iifname"}}), json!(value().replace('+', "*"))),
            "-o" => matched(json!({"meta": {"key": "oifname"}}), json!(value().replace('+', "*"))),
            "-s" => matched(json!({"payload": {"protocol": "ip", "field": "saddr"}}), json!(value())),
            "-d" => matched(json!({"payload": {"protocol": "ip", "field": "daddr"}}), json!(value())),
            "--dport" | "--dports" => {
                let ports: Vec<Value> = value().split(',').map(port).collect();
                matched(json!({"payload": {"protocol": "tcp", "field": "dport"}}), json!({"set": ports}));
            }
            "--ctorigdstport" => {
                matched(json!({"ct": {"key": "proto-dst", "dir": "original"}}), json!({"set": [port(value())]}));
            }
            "--ctstate" | "--state" => statements.push(state(value(), not)),
            // Of source or destination, by whichever it is.
            "--ports" => statements.push(json!({"unclear": format!("--ports {}", value())})),
            "-j" | "-g" => {
                let target = value().to_owned();
                let rest: Vec<&str> = words.by_ref().collect();
                statements.push(verdict(word, &target, &rest, is_chain(&target)));
            }
            other => statements.push(json!({"option": format!("{op} {other}")})),
        }
        not = false;
    }
    statements
}

fn port(text: &str) -> Value {
    let number = |text: &str| text.parse::<u16>().ok();
    let range = text.split_once(':').and_then(|(from, to)| Some((number(from)?, number(to)?)));
    match (number(text), range) {
        (Some(port), _) => json!(port),
        (None, Some((from, to))) => json!({"range": [from, to]}),
        (None, None) => json!(text),
    }
}

/// iptables counts the address translation among the states; nft does not.
fn state(list: &str, not: bool) -> Value {
    let states: Vec<String> = list.split(',').map(str::to_lowercase).collect();
    let op = if not { "!" } else { "in" };
    match states.as_slice() {
        [dnat] if dnat == "dnat" => json!({"match": {"op": op, "left": {"ct": {"key": "status"}}, "right": "dnat"}}),
        states if states.iter().any(|state| state == "dnat") => json!({"unclear": format!("--ctstate {list}")}),
        states => json!({"match": {"op": op, "left": {"ct": {"key": "state"}}, "right": states}}),
    }
}

fn verdict(by: &str, target: &str, rest: &[&str], is_chain: bool) -> Value {
    match target {
        "ACCEPT" | "DROP" | "RETURN" => json!({target.to_lowercase(): null}),
        "REJECT" => json!({"reject": rest.join(" ")}),
        "REDIRECT" | "TPROXY" | "DNAT" => json!({target.to_lowercase(): rest.join(" ")}),
        chain if is_chain => {
            json!({if by == "-g" { "goto" } else { "jump" }: {"target": chain}})
        }
        other => json!({"target": format!("{other} {}", rest.join(" "))}),
    }
}
