//! Tables of cases for what a firewall would make of the redirects. Rules and their texts are as nft 1.0 prints them.

use serde_json::{Value, json};

use super::carry::{Remedy, remedies};
use super::compare::Unlike;
use super::dump;
use super::firewall::{Note, Problem, findings, notes};
use super::ruleset::{Chain, Rule, Ruleset, parse};
use super::script::script;
use super::settings::{Inbound, Outbound, Sidecar};

mod carried;
mod compared;
mod others;
mod properties;

const FROM: u16 = 27017;
const TO: u16 = 27117;

fn inbound() -> Sidecar {
    let inbound = Some(Inbound { server_port: FROM, port: TO });
    Sidecar { table: "tlsramp".into(), inbound, outbound: None, canary_to: TO }
}

fn outbound() -> Sidecar {
    let outbound = Outbound {
        port: 27217,
        member_ports: vec![FROM],
        member_addresses: Vec::new(),
        exempt: 1234,
        exempt_group: "tlsramp".into(),
    };
    Sidecar { table: "tlsramp".into(), inbound: None, outbound: Some(outbound), canary_to: 27217 }
}

/// A table `inet filter` with a chain on a hook, a chain `mongo` beside it, a set, two maps; the canary gets through.
fn ruleset(hook: &str, policy: &str, rules: &[(&str, Value)]) -> Ruleset {
    let of = |name: &str, value: Value| {
        let mut item = json!({"family": "inet", "table": "filter", "handle": 1});
        let fields = item.as_object_mut().unwrap();
        fields.extend(value.as_object().unwrap().clone());
        json!({ name: item })
    };
    let mut items = vec![
        json!({"metainfo": {"version": "1.0.6"}}),
        json!({"table": {"family": "inet", "name": "filter", "handle": 3}}),
        of("set", json!({"name": "ports", "elem": [22, {"range": [27000, 27020]}]})),
        of(
            "set",
            json!({"name": "pairs", "elem": [{"concat": ["10.0.0.1", 27017]}, {"elem": {"val": {"concat": ["10.0.0.2", 22]}}}]}),
        ),
        of(
            "map",
            json!({"name": "verdicts", "elem": [[22, {"accept": null}], [27017, {"jump": {"target": "mongo"}}]]}),
        ),
        of("chain", json!({"name": "mongo"})),
        of("chain", json!({"name": "base", "type": "filter", "hook": hook, "prio": 0, "policy": policy})),
    ];
    let mut text = String::from("table inet filter {\n\tchain base {\n");
    for (index, (rule, expr)) in rules.iter().enumerate() {
        let handle = index + 10;
        items.push(of("rule", json!({"chain": "base", "handle": handle, "expr": expr})));
        text.push_str(&format!("\t\t{rule} # handle {handle}\n"));
    }
    parse(&json!({ "nftables": items }).to_string(), &text).unwrap()
}

fn matched(op: &str, left: Value, right: Value) -> Value {
    json!({"match": {"op": op, "left": left, "right": right}})
}

fn port_field() -> Value {
    json!({"payload": {"protocol": "tcp", "field": "dport"}})
}

fn dport(op: &str, right: Value) -> Value {
    matched(op, port_field(), right)
}

fn saddr() -> Value {
    matched(
        "==",
        json!({"payload": {"protocol": "ip", "field": "saddr"}}),
        json!({"prefix": {"addr": "10.0.0.0", "len": 8}}),
    )
}

fn accept() -> Value {
    json!({"accept": null})
}

fn ct(key: Value, op: &str, right: Value) -> Value {
    matched(op, json!({ "ct": key }), right)
}

/// A chain of the table.
fn chain<'a>(ruleset: &'a mut Ruleset, name: &str) -> &'a mut Chain {
    ruleset.chains.get_mut(&("inet".into(), "filter".into(), name.into())).unwrap()
}

/// The findings but for those about the canary, by handle.
fn found(ruleset: &Ruleset, sidecar: &Sidecar) -> Vec<(u64, Problem)> {
    let found = findings(ruleset, sidecar).into_iter();
    found.filter_map(|finding| Some((finding.rule?.handle, finding.problem))).collect()
}
