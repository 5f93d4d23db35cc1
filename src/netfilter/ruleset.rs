//! All rules of a host, from `nft -j list ruleset`. What a rule is made of stays JSON, as nft has it: whoever judges it
//! knows some of it, and keeps the rest as it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::listing;
use crate::text::printable;

/// The rules of a host.
#[derive(Debug, Default)]
pub(super) struct Ruleset {
    /// Family and name of each of nft's tables.
    pub(super) tables: Vec<(String, String)>,
    pub(super) chains: BTreeMap<Name, Chain>,
    /// Elements of named sets and maps.
    pub(super) sets: BTreeMap<Name, Vec<Value>>,
}

/// Of a chain or a set: family, table, name.
pub(super) type Name = (String, String, String);

/// A chain, with its rules in order.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    pub(super) name: Name,
    /// None for a chain that only others lead to.
    pub(super) base: Option<Base>,
    pub(super) rules: Vec<Rule>,
    pub(super) by: Tool,
}

/// Where a base chain hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    /// `filter`, `nat` or `route`.
    pub(super) kind: String,
    /// `prerouting`, `input`, `output` ...
    pub(super) hook: String,
    pub(super) priority: i64,
    /// Whether what no rule decides is dropped.
    pub(super) drops: bool,
}

/// Whose rules they are, and what changes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Nft,
    /// One of the iptables family, by the name of its command.
    Iptables(&'static str),
}

/// One rule.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// nft's handle; for iptables the number within the chain.
    pub(super) handle: u64,
    pub(super) comment: String,
    /// Matches and statements, in order.
    pub(super) statements: Vec<Value>,
    /// As its tool shows it.
    pub(super) text: String,
}

/// From both of nft's listings: the families that see TCP as such. Of bridges, interfaces and ARP nothing is kept.
///
/// # Errors
/// What is not as nft writes it.
pub(super) fn parse(json: &str, text: &str) -> Result<Ruleset, String> {
    let listed: Value = serde_json::from_str(json).map_err(|error| format!("not the JSON of nft: {error}"))?;
    let items = listed["nftables"].as_array().ok_or("not the JSON of nft: no list `nftables`")?;
    let texts = listing::texts(text);
    let mut ruleset = Ruleset::default();
    for item in items.iter().filter(|item| sees_tcp(item)) {
        if let Some(table) = item.get("table") {
            ruleset.tables.push((string(table.get("family")), string(table.get("name"))));
        } else if let Some(chain) = item.get("chain") {
            let chain = parse_chain(chain);
            ruleset.chains.insert(chain.name.clone(), chain);
        } else if let Some(set) = item.get("set").or_else(|| item.get("map")) {
            ruleset.sets.insert(name(set, "name"), set["elem"].as_array().cloned().unwrap_or_default());
        } else if let Some(rule) = item.get("rule") {
            let (of, rule) = (name(rule, "chain"), parse_rule(rule, &texts)?);
            // nft lists a table's chains before its rules.
            let chain = ruleset.chains.get_mut(&of);
            chain.ok_or_else(|| format!("not the JSON of nft: no chain for rule {}", rule.handle))?.rules.push(rule);
        }
    }
    Ok(ruleset)
}

fn sees_tcp(item: &Value) -> bool {
    let fields = item.as_object().and_then(|item| item.values().next());
    fields.is_some_and(|fields| matches!(fields["family"].as_str(), Some("ip" | "ip6" | "inet")))
}

fn parse_chain(chain: &Value) -> Chain {
    let base = chain.get("hook").map(|hook| Base {
        kind: string(chain.get("type")),
        hook: string(Some(hook)),
        priority: chain["prio"].as_i64().unwrap_or_default(),
        drops: chain["policy"] == "drop",
    });
    Chain { name: name(chain, "name"), base, rules: Vec::new(), by: Tool::Nft }
}

fn parse_rule(rule: &Value, texts: &BTreeMap<(Name, u64), String>) -> Result<Rule, String> {
    let handle = rule["handle"].as_u64().ok_or("not the JSON of nft: a rule without a handle")?;
    let statements = rule["expr"].as_array().cloned().unwrap_or_default();
    let text = texts.get(&(name(rule, "chain"), handle)).cloned();
    // A rule that was added between the two listings.
    let text = text.unwrap_or_else(|| rule["expr"].to_string());
    Ok(Rule { handle, comment: string(rule.get("comment")), statements, text })
}

/// The name of a chain or set, which stands under `key`.
fn name(item: &Value, key: &str) -> Name {
    (string(item.get("family")), string(item.get("table")), string(item.get(key)))
}

fn string(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl Ruleset {
    /// A chain of the same table.
    pub(super) fn beside(&self, of: &Name, chain: &str) -> Option<&Chain> {
        self.chains.get(&(of.0.clone(), of.1.clone(), chain.to_owned()))
    }

    /// The elements of a set of the same table, named as in `@ports`.
    pub(super) fn elements(&self, of: &Name, set: &str) -> Option<&[Value]> {
        let name = (of.0.clone(), of.1.clone(), set.strip_prefix('@')?.to_owned());
        self.sets.get(&name).map(Vec::as_slice)
    }

    /// The base chains that `wanted` says, and all chains that these lead to.
    pub(super) fn reached_from(&self, wanted: impl Fn(&Base) -> bool) -> Vec<&Chain> {
        let is_wanted = |chain: &&Chain| chain.base.as_ref().is_some_and(&wanted);
        let mut reached: Vec<&Chain> = self.chains.values().filter(is_wanted).collect();
        let mut known: BTreeSet<&Name> = reached.iter().map(|chain| &chain.name).collect();
        let mut next = 0;
        while let Some(chain) = reached.get(next).copied() {
            next += 1;
            for target in chain.rules.iter().flat_map(|rule| self.targets(&chain.name, &rule.statements)) {
                if let Some(target) = self.beside(&chain.name, &target)
                    && known.insert(&target.name)
                {
                    reached.push(target);
                }
            }
        }
        reached
    }

    /// The chains that a rule leads to, by its verdict or by a map of verdicts.
    fn targets(&self, of: &Name, statements: &[Value]) -> Vec<String> {
        let mut found = Vec::new();
        statements.iter().for_each(|statement| collect_targets(statement, &mut found));
        for data in statements.iter().filter_map(|statement| statement["vmap"]["data"].as_str()) {
            self.elements(of, data).unwrap_or_default().iter().for_each(|element| collect_targets(element, &mut found));
        }
        found
    }
}

fn collect_targets(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let targets = ["jump", "goto"].iter().filter_map(|verdict| fields.get(*verdict)?["target"].as_str());
            found.extend(targets.map(str::to_owned));
            fields.values().for_each(|field| collect_targets(field, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_targets(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Chain {
    /// As people know it, and as its tool wants it named.
    pub(super) fn shown(&self) -> String {
        let (family, table, chain) = &self.name;
        match self.by {
            Tool::Nft => format!("{family} {table} {chain}"),
            Tool::Iptables(command) => format!("{command} -t {table} {chain}"),
        }
    }
}

impl Rule {
    /// Where it is, and what it says. `of` is its chain.
    pub(super) fn shown(&self, of: &Chain) -> String {
        let number = match of.by {
            Tool::Nft => "handle",
            Tool::Iptables(_) => "rule",
        };
        format!("{} {number} {}: {}", of.shown(), self.handle, printable(&self.text))
    }
}
