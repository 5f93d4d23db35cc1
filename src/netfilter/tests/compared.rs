//! Rules that treat the two ports unlike each other.

use serde_json::{Value, json};

use super::{
    FROM, Problem, Rule, TO, Unlike, accept, chain, ct, dport, found, inbound, matched, port_field, ruleset, saddr,
};

#[test]
fn a_rule_that_treats_the_ports_unlike_each_other_is_found() {
    let set = |values: Value| json!({ "set": values });
    let (misses, catches) = (Some(Unlike::Misses), Some(Unlike::Catches));
    let pair = json!({"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, port_field()]});
    let original = json!({"key": "proto-dst", "dir": "original"});
    let map = |data: Value| json!([{"vmap": {"key": port_field(), "data": data}}]);
    let cases: Vec<(&str, Value, Option<Unlike>)> = vec![
        ("equality", json!([dport("==", json!(27017)), saddr(), accept()]), misses),
        ("another port", json!([dport("==", json!(22)), accept()]), None),
        ("any port", json!([saddr(), accept()]), None),
        ("a set", json!([dport("==", set(json!([22, 27017]))), accept()]), misses),
        ("a set with both", json!([dport("==", set(json!([27017, 27117]))), accept()]), None),
        ("a range", json!([dport("==", json!({"range": [27000, 27020]})), accept()]), misses),
        ("a range over both", json!([dport("==", json!({"range": [27000, 27200]})), accept()]), None),
        ("a range in a set", json!([dport("==", set(json!([22, {"range": [27000, 27020]}]))), accept()]), misses),
        ("a named set", json!([dport("==", json!("@ports")), accept()]), misses),
        ("a set that is not there", json!([dport("==", json!("@none")), accept()]), Some(Unlike::Unclear)),
        ("negated", json!([dport("!=", json!(27017)), saddr(), accept()]), catches),
        ("a negated set", json!([dport("!=", set(json!([22, 27017]))), saddr(), accept()]), catches),
        ("negated, another port", json!([dport("!=", json!(22)), accept()]), None),
        ("the other port", json!([dport("==", json!(27117)), json!({"drop": null})]), catches),
        ("below", json!([dport("<", json!(27100)), accept()]), misses),
        ("from", json!([dport(">=", json!(27100)), accept()]), catches),
        ("from, both", json!([dport(">=", json!(27017)), accept()]), None),
        ("a bit of it", json!([matched("==", json!({"&": [port_field(), 4]}), json!(0)), accept()]), misses),
        (
            "shifted",
            json!([matched("==", json!({">>": [port_field(), 1]}), json!(5)), accept()]),
            Some(Unlike::Unclear),
        ),
        (
            "by its place",
            json!([matched("==", json!({"payload": {"base": "th", "offset": 16, "len": 16}}), json!(27017)), accept()]),
            misses,
        ),
        (
            "th",
            json!([matched("==", json!({"payload": {"protocol": "th", "field": "dport"}}), json!(27017)), accept()]),
            misses,
        ),
        ("a service", json!([dport("==", json!("mongod")), accept()]), Some(Unlike::Unclear)),
        (
            "udp",
            json!([matched("==", json!({"payload": {"protocol": "udp", "field": "dport"}}), json!(27017)), accept()]),
            None,
        ),
        (
            "udp by number",
            json!([matched("==", json!({"meta": {"key": "l4proto"}}), json!(17)), dport("==", json!(27017)), accept()]),
            None,
        ),
        (
            "by loopback",
            json!([
                matched("==", json!({"meta": {"key": "iifname"}}), json!("lo")),
                dport("==", json!(27017)),
                accept()
            ]),
            None,
        ),
        (
            "not by loopback",
            json!([
                matched("!=", json!({"meta": {"key": "iifname"}}), json!("lo")),
                dport("==", json!(27017)),
                accept()
            ]),
            misses,
        ),
        (
            "established",
            json!([
                ct(json!({"key": "state"}), "in", json!(["established", "related"])),
                dport("==", json!(27017)),
                accept()
            ]),
            None,
        ),
        ("only counted", json!([dport("==", json!(27017)), json!({"counter": {"packets": 1, "bytes": 2}})]), None),
        ("logged", json!([dport("==", json!(27017)), json!({"log": {"prefix": "a"}})]), misses),
        ("several things", json!([matched("==", pair.clone(), json!("@pairs")), accept()]), misses),
        (
            "several, in place",
            json!([matched("==", pair.clone(), set(json!([{"concat": ["10.0.0.1", 22]}]))), accept()]),
            None,
        ),
        (
            "several, alike",
            json!([
                matched(
                    "==",
                    pair.clone(),
                    set(json!([{"concat": ["10.0.0.1", 27017]}, {"concat": ["10.0.0.1", 27117]}]))
                ),
                accept()
            ]),
            None,
        ),
        (
            "several, unlike",
            json!([
                matched("==", pair, set(json!([{"concat": ["10.0.0.1", 27017]}, {"concat": ["10.0.0.2", 27117]}]))),
                accept()
            ]),
            Some(Unlike::Differs),
        ),
        ("a map", map(set(json!([[22, accept()], [27017, {"drop": null}]]))), misses),
        ("a named map", map(json!("@verdicts")), misses),
        ("a map of both", map(set(json!([[27017, accept()], [27117, {"drop": null}]]))), Some(Unlike::Differs)),
        ("a map, alike", map(set(json!([[27017, accept()], [27117, accept()]]))), None),
        (
            "a map of something else",
            json!([{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": set(json!([["eth0", accept()]]))}}]),
            None,
        ),
        ("the original port", json!([ct(original.clone(), "==", json!(27017)), accept()]), None),
        (
            "original ports, as nft prints a set",
            json!([
                ct(original.clone(), "==", json!({"set": ["0x1 [invalid type]", "0x6989 [invalid type]"]})),
                accept()
            ]),
            None,
        ),
        ("another original port", json!([ct(original.clone(), "!=", json!(27017)), accept()]), None),
        ("what is redirected", json!([ct(json!({"key": "status"}), "in", json!("dnat")), accept()]), catches),
        (
            "what is not redirected",
            json!([ct(json!({"key": "status"}), "!", json!("dnat")), json!({"drop": null})]),
            misses,
        ),
        (
            "redirected elsewhere",
            json!([ct(original, "!=", json!(27017)), ct(json!({"key": "status"}), "in", json!("dnat")), accept()]),
            None,
        ),
        (
            "an opaque match",
            json!([matched("==", json!({"meta": {"key": "l4proto"}}), json!("tcp")), {"xt": {"type": "match", "name": "multiport"}}, accept()]),
            Some(Unlike::Unclear),
        ),
    ];
    for (name, expr, expected) in cases {
        let rules = [("meta l4proto tcp tcp dport { 22, 27017 } accept", expr)];
        let expected: Vec<_> = expected.map(|unlike| (10, Problem::Unlike(unlike))).into_iter().collect();
        assert_eq!(found(&ruleset("input", "accept", &rules), &inbound()), expected, "{name}");
        assert_eq!(found(&ruleset("output", "accept", &rules), &inbound()), [], "{name}, in another hook");
    }
}

#[test]
fn a_counterpart_between_the_same_neighbours_is_enough() {
    let one = |port: u16| ("", json!([dport("==", json!(port)), saddr(), accept()]));
    let two = |port: u16| {
        ("", json!([saddr(), dport("==", json!(port)), {"counter": {"packets": port, "bytes": 0}}, {"drop": null}]))
    };
    let all = || ("", json!([matched("==", json!({"meta": {"key": "mark"}}), json!(5)), {"drop": null}]));
    let end = || ("", json!([{"counter": {"packets": 1, "bytes": 1}}, {"reject": null}]));
    let (misses, catches) = (Problem::Unlike(Unlike::Misses), Problem::Unlike(Unlike::Catches));
    let cases = vec![
        ("right behind", vec![one(FROM), one(TO), end()], vec![]),
        ("right in front", vec![one(TO), one(FROM), end()], vec![]),
        ("one behind each", vec![one(FROM), one(TO), two(FROM), two(TO)], vec![]),
        ("both behind both", vec![one(FROM), two(FROM), one(TO), two(TO)], vec![]),
        ("in another order", vec![one(FROM), two(FROM), two(TO), one(TO)], vec![(11, misses), (12, catches)]),
        ("beyond a rule for both", vec![one(FROM), all(), one(TO)], vec![(10, misses), (12, catches)]),
        ("for one of two", vec![one(FROM), two(FROM), two(TO), end()], vec![(10, misses)]),
        ("behind the end", vec![one(FROM), end(), one(TO)], vec![(10, misses)]),
        ("both behind the end", vec![end(), one(FROM)], vec![]),
        ("too many", vec![one(FROM), one(TO), one(TO)], vec![(12, catches)]),
    ];
    for (name, rules, expected) in cases {
        // The same two rules in another order, one that accepts and one that drops, are not the same.
        let found = found(&ruleset("input", "accept", &rules), &inbound());
        if name == "in another order" {
            assert!(!found.is_empty(), "{name}");
        } else {
            assert_eq!(found, expected, "{name}");
        }
    }
}

#[test]
fn what_some_get_just_before_all_get_it_makes_no_difference() {
    let some = ("", json!([dport("==", json!(FROM)), saddr(), accept()]));
    let all = ("", json!([accept()]));
    assert_eq!(found(&ruleset("input", "drop", &[some.clone(), all.clone()]), &inbound()), []);
    let drop = ("", json!([dport("==", json!(FROM)), saddr(), {"drop": null}]));
    assert_eq!(found(&ruleset("input", "drop", &[some, drop, all]), &inbound()).len(), 2);
}

#[test]
fn only_chains_that_a_redirected_connection_comes_through_are_looked_at() {
    let rules = [
        ("", json!([dport("==", json!(FROM)), {"jump": {"target": "mongo"}}])),
        ("", json!([dport("==", json!(TO)), {"jump": {"target": "mongo"}}])),
    ];
    let mut ruleset = ruleset("input", "accept", &rules);
    let rule = chain(&mut ruleset, "base").rules[0].clone();
    let drop = Rule { statements: vec![dport("==", json!(FROM)), json!({"drop": null})], handle: 99, ..rule };
    chain(&mut ruleset, "mongo").rules.push(drop);
    // In a chain that is led to.
    assert_eq!(found(&ruleset, &inbound()), [(99, Problem::Unlike(Unlike::Misses))]);
    chain(&mut ruleset, "base").rules.clear();
    assert_eq!(found(&ruleset, &inbound()), [], "nothing leads there");
    let base = chain(&mut ruleset, "base").base.clone();
    chain(&mut ruleset, "mongo").base = base;
    let base = chain(&mut ruleset, "mongo").base.as_mut().unwrap();
    base.hook = "prerouting".into();
    base.priority = -300;
    assert_eq!(found(&ruleset, &inbound()), [], "it comes before the redirect");
    chain(&mut ruleset, "mongo").base.as_mut().unwrap().priority = -50;
    assert_eq!(found(&ruleset, &inbound()).len(), 1);
}
