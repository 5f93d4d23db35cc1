//! Tables of cases for what a firewall would make of the redirects. Rules and their texts are as nft 1.0 prints them.

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::carry::{Remedy, remedies};
use super::compare::Unlike;
use super::dump;
use super::firewall::{Note, Problem, findings, notes};
use super::ruleset::{Chain, Ruleset, parse};
use super::script::script;
use super::settings::{Inbound, Outbound, Sidecar};

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
    let drop =
        super::ruleset::Rule { statements: vec![dport("==", json!(FROM)), json!({"drop": null})], handle: 99, ..rule };
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

#[test]
fn each_finding_has_its_commands() {
    let add = |text: &str| Some(vec![format!("nft 'add rule inet filter base handle 10 {text}'")]);
    let replace = |text: &str| {
        format!("nft 'replace rule inet filter base handle 10 meta l4proto tcp ct original proto-dst != 27017 {text}'")
    };
    let status = json!([ct(json!({"key": "status"}), "in", json!("dnat")), accept()]);
    let set = |values: Value| json!({ "set": values });
    let pair = json!({"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, port_field()]});
    let cases: Vec<(&str, Value, Option<Vec<String>>)> = vec![
        (
            "tcp dport 27017 ip saddr 10.0.0.0/8 counter packets 5 bytes 300 accept comment \"tcp dport 27017 it's\"",
            json!([dport("==", json!(FROM)), accept()]),
            add("tcp dport 27117 ip saddr 10.0.0.0/8 counter accept comment \"tcp dport 27017 it'\\''s\""),
        ),
        (
            "ip saddr { 10.0.0.1, 10.0.0.2 } tcp dport { 22, 27017, 30000-30010 } accept",
            json!([dport("==", set(json!([22, 27017]))), accept()]),
            add("ip saddr { 10.0.0.1, 10.0.0.2 } tcp dport 27117 accept"),
        ),
        ("tcp dport < 27100 drop", json!([dport("<", json!(27100)), {"drop": null}]), add("tcp dport 27117 drop")),
        ("tcp dport @ports accept", json!([dport("==", json!("@ports")), accept()]), add("tcp dport 27117 accept")),
        (
            "meta l4proto { tcp, udp } th dport 27017 accept",
            json!([dport("==", json!(FROM)), accept()]),
            add("meta l4proto { tcp, udp } th dport 27117 accept"),
        ),
        (
            "tcp dport vmap { 22 : accept, 27017 : jump mongo }",
            json!([{"vmap": {"key": port_field(), "data": set(json!([[27017, {"jump": {"target": "mongo"}}]]))}}]),
            add("tcp dport 27117 jump mongo"),
        ),
        (
            "tcp dport vmap @verdicts",
            json!([{"vmap": {"key": port_field(), "data": "@verdicts"}}]),
            add("tcp dport 27117 jump mongo"),
        ),
        (
            "tcp dport != 27100 tcp dport 27000-27020 accept",
            json!([dport("!=", json!(27100)), dport("==", json!({"range": [27000, 27020]})), accept()]),
            add("tcp dport 27117 accept"),
        ),
        (
            "tcp dport != { 22, 27017 } counter packets 1 bytes 2 drop",
            json!([dport("!=", set(json!([22, 27017]))), {"drop": null}]),
            Some(vec![replace("tcp dport != { 22, 27017 } counter drop")]),
        ),
        (
            "ct status dnat accept",
            status,
            Some(vec![
                "nft 'add rule inet filter base handle 10 meta l4proto != tcp ct status dnat accept'".into(),
                replace("ct status dnat accept"),
            ]),
        ),
        ("ip saddr . tcp dport @pairs accept", json!([matched("==", pair, json!("@pairs")), accept()]), None),
        (
            "tcp dport 27017 xt match \"recent\" accept",
            json!([dport("==", json!(FROM)), {"xt": {"name": "recent"}}, accept()]),
            None,
        ),
        (
            "tcp dport & 4 == 0 accept",
            json!([matched("==", json!({"&": [port_field(), 4]}), json!(0)), accept()]),
            None,
        ),
    ];
    for (text, expr, expected) in cases {
        let ruleset = ruleset("input", "accept", &[(text, expr)]);
        let mut findings = findings(&ruleset, &inbound());
        findings.retain(|finding| finding.rule.is_some());
        let remedies = remedies(&findings, &ruleset, &inbound());
        let [(_, remedy)] = remedies.as_slice() else { panic!("{text}: {remedies:?}") };
        match (remedy, expected) {
            (Remedy::Commands(commands), Some(expected)) => assert_eq!(commands, &expected, "{text}"),
            (Remedy::ByHand(_), None) => {}
            (other, expected) => panic!("{text}: {other:?}, not {expected:?}"),
        }
    }
}

/// The dump of a host with iptables: the policy drops, and of what it accepts all is for the mongod's port.
const DUMP: &str = r#"# Generated by iptables-nft-save v1.8.9 (nf_tables) on Tue Nov 24 12:12:58 2026
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:foo - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 27017 -j ACCEPT
-A INPUT -s 10.1.0.0/16 -p tcp -m multiport --dports 22,27017,30000:30010 -m comment --comment "a \"b c" -j ACCEPT
-A INPUT -p tcp -m tcp ! --dport 27017 -j foo
-A INPUT -s 10.3.0.0/16 -m conntrack --ctstate DNAT -j ACCEPT
-A INPUT -p udp -m udp --dport 27017 -j ACCEPT
-A INPUT -p tcp -m tcp --dport 27000:27200 -j LOG --log-prefix "x "
-A foo -p tcp -m tcp --dport 27017 -g foo
COMMIT
"#;

#[test]
fn iptables_is_understood_and_answered_in_its_own_words() {
    let chains = dump::parse(DUMP, "ip", "iptables-nft").unwrap();
    let ruleset = Ruleset { chains, ..Ruleset::default() };
    let findings = findings(&ruleset, &inbound());
    let remedies = remedies(&findings, &ruleset, &inbound());
    let commands: Vec<&String> = remedies
        .iter()
        .flat_map(|(_, remedy)| match remedy {
            Remedy::Commands(commands) => commands.iter(),
            Remedy::ByHand(what) => panic!("{what}"),
        })
        .collect();
    assert_eq!(
        commands,
        [
            "iptables-nft -t filter -R INPUT 6 -s 10.3.0.0/16 -m conntrack --ctstate DNAT -m conntrack '!' --ctorigdstport 27017 -j ACCEPT",
            "iptables-nft -t filter -R INPUT 5 -p tcp -m tcp '!' --dport 27017 -m conntrack '!' --ctorigdstport 27017 -j foo",
            "iptables-nft -t filter -I INPUT 5 -s 10.1.0.0/16 -p tcp -m multiport --dports 27117 -m comment --comment 'a \"b c' -j ACCEPT",
            "iptables-nft -t filter -I INPUT 4 -s 10.0.0.0/8 -p tcp -m tcp --dport 27117 -j ACCEPT",
            "iptables-nft -t filter -I foo 2 -p tcp -m tcp --dport 27117 -g foo",
        ]
    );
    let no = dump::parse("# Table `filter' is incompatible, use 'nft' tool.\n", "ip", "iptables-nft").unwrap_err();
    assert!(no.contains("incompatible"), "{no}");
}

#[test]
fn what_is_redirected_must_get_through() {
    let interface = |key: &str, name: &str| matched("==", json!({"meta": {"key": key}}), json!(name));
    let local = || matched("==", json!({"fib": {"result": "type", "flags": ["daddr"]}}), json!("local"));
    let daddr = |address: &str| matched("==", json!({"payload": {"protocol": "ip", "field": "daddr"}}), json!(address));
    let port = || dport("==", json!(27217));
    // In the output hook it still has the interface by which it would have left, which the canary has not.
    let cases = [
        ("output", "accept", json!([daddr("10.0.0.1"), accept()]), false, false),
        ("output", "drop", json!([daddr("10.0.0.1"), accept()]), true, true),
        ("output", "drop", json!([interface("oifname", "lo"), accept()]), true, false),
        ("output", "drop", json!([local(), port(), accept()]), false, true),
        ("output", "drop", json!([local(), accept()]), false, false),
        ("output", "drop", json!([daddr("127.0.0.1"), accept()]), false, false),
        ("output", "drop", json!([interface("oifname", "lo"), {"jump": {"target": "mongo"}}]), true, true),
        ("output", "accept", json!([dport("==", json!(FROM)), {"drop": null}]), false, false),
        ("output", "accept", json!([{"reject": null}]), true, true),
        ("input", "drop", json!([interface("iifname", "lo"), accept()]), false, false),
        ("input", "drop", json!([interface("iifname", "lo"), port(), accept()]), false, true),
        ("input", "drop", json!([interface("iifname", "eth0"), accept()]), true, true),
        ("input", "accept", json!([saddr(), {"drop": null}]), false, false),
        ("forward", "drop", json!([accept()]), false, false),
    ];
    for (hook, policy, expr, redirected, canary) in cases {
        let shown = format!("{hook} {policy} {expr}");
        let ruleset = ruleset(hook, policy, &[("", expr)]);
        let is_dropped = |sidecar: &Sidecar| {
            findings(&ruleset, sidecar).iter().any(|finding| finding.problem == Problem::DropsRedirected)
        };
        assert_eq!((is_dropped(&outbound()), is_dropped(&inbound())), (redirected, canary), "{shown}");
    }
}

#[test]
fn two_redirects_of_one_port_and_two_groups_are_found() {
    let mut ruleset =
        ruleset("prerouting", "accept", &[("", json!([dport("==", json!(FROM)), {"redirect": {"port": 5}}]))]);
    let nat = |chain: &mut Chain| {
        let base = chain.base.as_mut().unwrap();
        (base.kind, base.priority) = ("nat".into(), -100);
    };
    nat(chain(&mut ruleset, "base"));
    assert_eq!(found(&ruleset, &inbound()), [(10, Problem::Elsewhere)]);
    chain(&mut ruleset, "base").name.1 = "tlsramp".into();
    assert_eq!(found(&ruleset, &inbound()), [], "it is the table that will be replaced");

    let group = |gid: u32| json!([matched("==", json!({"meta": {"key": "skgid"}}), json!(gid)), {"return": null}]);
    for (gid, port, expected) in [(1234, FROM, 0), (5, FROM, 1), (5, 27018, 0)] {
        let redirect = json!([dport("==", json!(port)), {"redirect": {"port": 5}}]);
        let mut ruleset = self::ruleset("output", "accept", &[("", group(gid)), ("", redirect)]);
        nat(chain(&mut ruleset, "base"));
        chain(&mut ruleset, "base").rules[0].comment = "tlsramp: own connections".into();
        chain(&mut ruleset, "base").rules[1].comment = "tlsramp: outbound".into();
        let found = found(&ruleset, &outbound());
        assert_eq!(found.len(), expected, "{gid} {port}: {found:?}");
    }
}

#[test]
fn what_may_mean_something_else_is_noted() {
    let daddr = matched("==", json!({"payload": {"protocol": "ip", "field": "daddr"}}), json!("10.0.0.1"));
    let rules = [("one", json!([daddr.clone(), dport("==", json!(TO)), accept()])), ("two", json!([daddr, accept()]))];
    assert_eq!(
        notes(&ruleset("input", "accept", &rules), &inbound()),
        [Note::Address("inet filter base handle 10: one".into())]
    );
    let owner = matched("==", json!({"meta": {"key": "skuid"}}), json!(110));
    let rules = [("one", json!([owner, dport("==", json!(FROM)), accept()]))];
    assert_eq!(
        notes(&ruleset("output", "accept", &rules), &outbound()),
        [Note::Owner("inet filter base handle 10: one".into())]
    );
}

#[test]
fn tables_that_see_no_tcp_are_left_out() {
    let arp = json!({"chain": {"family": "arp", "table": "t", "name": "c", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}});
    let rule = json!({"rule": {"family": "arp", "table": "t", "chain": "c", "handle": 1, "expr": []}});
    let ruleset = parse(&json!({"nftables": [arp, rule]}).to_string(), "").unwrap();
    assert!(findings(&ruleset, &inbound()).is_empty() && ruleset.chains.is_empty());
}

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

#[test]
fn what_is_no_listing_is_an_error_and_no_panic() {
    for json in [
        "",
        "[]",
        "{}",
        "{\"nftables\": 5}",
        "{\"nftables\": [{\"rule\": {\"family\": \"ip\"}}]}",
        "{\"nftables\": [{\"rule\": {\"family\": \"ip\", \"handle\": 1}}]}",
    ] {
        assert!(parse(json, "").is_err(), "{json}");
    }
    assert!(parse("{\"nftables\": [{}, 5, {\"chain\": 5}, {\"set\": 5}, {\"table\": null}]}", "\t\t\t{").is_ok());
    assert!(
        dump::parse("*\n:\n-A\n-A \n-A x\n:INPUT\n-A INPUT ! -m\n-A INPUT -j\n-A INPUT \"\\", "ip", "iptables").is_ok()
    );
}

#[test]
fn the_script_says_what_was_asked_for() {
    let text = script(&inbound());
    for line in [
        "type nat hook prerouting priority dstnat; policy accept;",
        "iifname != \"lo\" fib daddr type local tcp dport 27017 redirect to :27117 comment \"tlsramp: inbound\"",
        "ip daddr 127.116.105.237 tcp dport 1 redirect to :27117 comment \"tlsramp: canary\"",
    ] {
        assert_eq!(text.lines().filter(|found| found.trim() == line).count(), 1, "{line}\n{text}");
    }
    assert!(!text.contains("return"), "{text}");
    let text = script(&outbound());
    let order = ["canary", "loopback", "own addresses", "meta skgid 1234", "tcp dport { 27017 } redirect to :27217"];
    let places: Vec<_> = order
        .iter()
        .map(|what| {
            text.find(&format!("{what}{}", if what.contains(' ') && what.starts_with(['m', 't']) { " " } else { "\"" }))
                .unwrap()
        })
        .collect();
    assert!(places.is_sorted(), "{places:?}\n{text}");
    assert!(!text.contains("prerouting {"), "{text}");
    assert!(
        text.starts_with('#')
            && text.contains("add table inet tlsramp\ndelete table inet tlsramp\ntable inet tlsramp {")
    );
}
