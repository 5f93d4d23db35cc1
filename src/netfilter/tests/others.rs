//! What else is found, noted and printed; and listings that are none.

use serde_json::json;

use super::{
    Chain, FROM, Note, Problem, Sidecar, TO, accept, chain, dport, dump, findings, found, inbound, matched, notes,
    outbound, parse, ruleset, saddr, script,
};

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
        let mut ruleset = super::ruleset("output", "accept", &[("", group(gid)), ("", redirect)]);
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
        "iifname != \"lo\" fib daddr type local tcp flags & (fin | syn | rst | ack) == syn tcp dport 27017 redirect to :27117 \
         comment \"tlsramp: inbound\"",
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
