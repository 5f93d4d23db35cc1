//! What a rule makes of a packet: nothing, or what is left of the rule once what is known of the packet is taken out of it.
//! Two rules of which the same is left do the same, the one with one packet, the other with another.

use serde_json::{Value, json};

use super::packet::{Meaning, Packet, names_port};
use super::ruleset::{Name, Rule, Ruleset};
use super::values::{Answer, Known, among, compare};

/// A rule, seen by a packet.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    /// It never matches such a packet, or does nothing with it.
    Never,
    /// It may.
    May(Left),
    /// It looks at the port in a way that cannot be followed.
    Unclear,
}

/// What is left of a rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Left {
    /// Matches that are open, in an order of their own, then statements as they stand. The verdict is not among them.
    pub(super) statements: Vec<Value>,
    /// `{"accept": null}`, `{"jump": {"target": ...}}` and the like.
    pub(super) verdict: Option<Value>,
    /// Whether nothing is open: every such packet gets the verdict.
    pub(super) certain: bool,
    /// Whether the port decided anything.
    pub(super) by_port: bool,
}

impl Left {
    /// The verdict's name.
    pub(super) fn verdict(&self) -> Option<&str> {
        self.verdict.as_ref().and_then(key)
    }

    /// Where it jumps or goes.
    pub(super) fn target(&self) -> Option<&str> {
        let verdict = self.verdict.as_ref()?;
        verdict.get("jump").or_else(|| verdict.get("goto"))?["target"].as_str()
    }
}

/// One statement, seen by a packet.
enum Part {
    Never,
    /// It says nothing that is not known.
    Nothing,
    Keep(Value),
    Unclear,
}

/// What a rule, in the chain `of`, makes of a packet.
pub(super) fn seen(rule: &Rule, of: &Name, packet: Packet, ruleset: &Ruleset) -> Seen {
    let (mut matches, mut others, mut verdict) = (Vec::new(), Vec::new(), None);
    let (mut unclear, mut by_port) = (false, false);
    for statement in &rule.statements {
        by_port |= names_port(statement);
        let kind = key(statement).unwrap_or_default();
        match part(statement, of, packet, ruleset) {
            Part::Never => return Seen::Never,
            Part::Nothing => {}
            Part::Unclear => unclear = true,
            Part::Keep(kept) => match (kind, key(&kept)) {
                (_, Some(name)) if VERDICTS.contains(&name) => verdict = Some(kept),
                ("match", _) => matches.push(kept),
                _ => others.push(kept),
            },
        }
    }
    if unclear || is_opaque(rule) {
        return Seen::Unclear;
    }
    let certain = matches.is_empty() && others.iter().all(|other| key(other).is_some_and(|key| PASSING.contains(&key)));
    if verdict.is_none() && others.is_empty() {
        return Seen::Never;
    }
    matches.sort_by_key(ToString::to_string);
    matches.append(&mut others);
    Seen::May(Left { statements: matches, verdict, certain, by_port })
}

fn part(statement: &Value, of: &Name, packet: Packet, ruleset: &Ruleset) -> Part {
    match key(statement) {
        Some("match") => part_of_match(&statement["match"], of, packet, ruleset),
        Some("vmap") => part_of_map(&statement["vmap"], of, packet, ruleset),
        Some("counter") | None => Part::Nothing,
        Some("unclear") => Part::Unclear,
        Some(_) => Part::Keep(without_counts(statement)),
    }
}

fn part_of_match(matched: &Value, of: &Name, packet: Packet, ruleset: &Ruleset) -> Part {
    let (op, left, right) = (matched["op"].as_str().unwrap_or("=="), &matched["left"], &matched["right"]);
    if let Some(answer) = dnat(op, left, right, packet) {
        return from(answer, matched);
    }
    if left.get("concat").is_some() {
        return part_of_concat(op, left, right, of, packet, ruleset);
    }
    match bits(left, packet).unwrap_or_else(|| packet.meaning(left)) {
        Meaning::Absent => Part::Never,
        Meaning::Known(known) => {
            let answer = compare(op, known, right, of, ruleset);
            let unclear = answer == Answer::Open && matches!(known, Known::Number(_));
            if unclear { Part::Unclear } else { from(answer, matched) }
        }
        Meaning::Unknown if names_port(left) => Part::Unclear,
        Meaning::Unknown => {
            let answer = packet.address(left, right);
            from(if op == "!=" { answer.not() } else { answer }, matched)
        }
    }
}

/// Some bits of a number that is known.
fn bits(expression: &Value, packet: Packet) -> Option<Meaning> {
    let [masked, mask] = expression["&"].as_array()?.as_slice() else { return None };
    let Meaning::Known(Known::Number(number)) = packet.meaning(masked) else { return None };
    let bits = u16::try_from(u64::from(number) & mask.as_u64()?).ok()?;
    Some(Meaning::Known(Known::Number(bits)))
}

fn from(answer: Answer, matched: &Value) -> Part {
    match answer {
        Answer::Yes => Part::Nothing,
        Answer::No => Part::Never,
        Answer::Open => Part::Keep(json!({ "match": matched })),
    }
}

/// `ct status dnat`: what was redirected, by whomever.
fn dnat(op: &str, left: &Value, right: &Value, packet: Packet) -> Option<Answer> {
    let is_dnat = |value: &Value| value == "dnat";
    let of_status = |value: &Value| value["ct"]["key"] == "status";
    let redirected = Answer::of(packet.redirected());
    if let Some([status, mask]) = left["&"].as_array().map(Vec::as_slice) {
        let masked = of_status(status) && is_dnat(mask);
        let zero = right.as_u64() == Some(0);
        return masked.then(|| if zero == (op == "==") { redirected.not() } else { redirected });
    }
    if !of_status(left) {
        return None;
    }
    let alone = is_dnat(right);
    let listed = right.as_array().is_some_and(|flags| flags.iter().any(is_dnat));
    // One flag of several is enough; that none of them is there depends on the others.
    let answer = match (alone, listed, packet.redirected()) {
        (true, _, _) | (_, true, true) => redirected,
        (_, _, _) => Answer::Open,
    };
    Some(if matches!(op, "!" | "!=") { answer.not() } else { answer })
}

/// A match on several things at once: the elements for this port, without the port.
fn part_of_concat(op: &str, left: &Value, right: &Value, of: &Name, packet: Packet, ruleset: &Ruleset) -> Part {
    let elements = match right.as_str() {
        Some(set) => ruleset.elements(of, set).map(<[Value]>::to_vec),
        None => right["set"].as_array().cloned(),
    };
    let Some(elements) = elements else {
        return if names_port(left) {
            Part::Unclear
        } else {
            from(Answer::Open, &json!({"op": op, "left": left, "right": right}))
        };
    };
    let rest: Vec<Value> =
        elements.iter().filter_map(|element| rest_of_key(left, element, of, packet, ruleset)).collect();
    match (op, rest.is_empty()) {
        ("==" | "in", true) => Part::Never,
        ("!=", true) => Part::Nothing,
        _ => Part::Keep(json!({"match": {"op": op, "left": open(left, packet), "right": rest}})),
    }
}

/// A map of verdicts: the verdict for this port, or, where the key has more to it, the elements for this port.
fn part_of_map(map: &Value, of: &Name, packet: Packet, ruleset: &Ruleset) -> Part {
    let (key, data) = (&map["key"], &map["data"]);
    let elements = match data.as_str() {
        Some(set) => ruleset.elements(of, set).map(<[Value]>::to_vec),
        None => data["set"].as_array().cloned(),
    };
    let Some(elements) = elements else { return Part::Unclear };
    let pairs = elements.iter().filter_map(|pair| Some((pair.get(0)?, pair.get(1)?)));
    if key.get("concat").is_none() {
        let known = match packet.meaning(key) {
            Meaning::Absent => return Part::Never,
            Meaning::Known(known) => known,
            Meaning::Unknown if names_port(key) => return Part::Unclear,
            Meaning::Unknown => return Part::Keep(json!({ "vmap": map })),
        };
        for (element, verdict) in pairs {
            match among(known, element, of, ruleset) {
                Answer::Yes => return Part::Keep(verdict.clone()),
                Answer::No => {}
                Answer::Open if matches!(known, Known::Number(_)) => return Part::Unclear,
                Answer::Open => return Part::Keep(json!({ "vmap": map })),
            }
        }
        return Part::Never;
    }
    let rest: Vec<Value> = pairs
        .filter_map(|(element, verdict)| Some(json!([rest_of_key(key, element, of, packet, ruleset)?, verdict])))
        .collect();
    if rest.is_empty() { Part::Never } else { Part::Keep(json!({"vmap": {"key": open(key, packet), "data": rest}})) }
}

/// Of an element of several things, those that are open; none if it is not for this packet.
fn rest_of_key(key: &Value, element: &Value, of: &Name, packet: Packet, ruleset: &Ruleset) -> Option<Value> {
    let element = element.get("elem").map_or(element, |element| &element["val"]);
    let fields = key["concat"].as_array()?.iter().zip(element["concat"].as_array()?);
    let mut rest = Vec::new();
    for (field, value) in fields {
        match packet.meaning(field) {
            Meaning::Absent => return None,
            Meaning::Known(known) => match among(known, value, of, ruleset) {
                Answer::No => return None,
                Answer::Yes => {}
                Answer::Open => rest.push(value.clone()),
            },
            Meaning::Unknown => rest.push(value.clone()),
        }
    }
    Some(Value::from(rest))
}

fn open(key: &Value, packet: Packet) -> Value {
    let fields = key["concat"].as_array().map(Vec::as_slice).unwrap_or_default();
    fields.iter().filter(|field| packet.meaning(field) == Meaning::Unknown).cloned().collect()
}

/// Whether the rule has a match of an iptables extension that may look at the port, of which nft shows no more than the
/// name.
fn is_opaque(rule: &Rule) -> bool {
    let opaque =
        |statement: &Value| matches!(statement["xt"]["name"].as_str(), Some("multiport" | "conntrack" | "u32" | "bpf"));
    let telling = ["dport", "proto-dst", "dnat", "u32", "bpf"];
    rule.statements.iter().any(opaque) && telling.iter().any(|word| rule.text.contains(word))
}

/// Counts go on: they do not tell two rules apart.
fn without_counts(statement: &Value) -> Value {
    match statement {
        Value::Object(fields) => {
            let kept =
                fields.iter().filter(|(key, _)| !matches!(key.as_str(), "packets" | "bytes" | "used" | "used_unit"));
            Value::Object(kept.map(|(key, value)| (key.clone(), without_counts(value))).collect())
        }
        Value::Array(values) => values.iter().map(without_counts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => statement.clone(),
    }
}

fn key(statement: &Value) -> Option<&str> {
    statement.as_object()?.keys().next().map(String::as_str)
}

const VERDICTS: &[&str] = &["accept", "drop", "reject", "return", "jump", "goto", "queue"];
/// Statements that let every packet pass on.
const PASSING: &[&str] = &["log", "mangle", "set", "notrack"];
