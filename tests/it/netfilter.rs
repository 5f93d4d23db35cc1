//! A sidecar's interception rules in the kernel: which connections are led to tlsramp, which are not, and that a
//! firewall's rules are not read and keep their meaning.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::{
    fs,
    io::BufRead as _,
    os::unix::fs::PermissionsExt as _,
    process::Output,
    thread,
    time::{Duration, Instant},
};

use crate::support::cable::{Host, Hosts};
use crate::support::{Scratch, require, require_command, require_root};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tlsramp");
const INBOUND: &[&str] = &["--serverPort", "27017", "--port", "27117"];
const OUTBOUND: &[&str] = &["--memberPort", "27017", "--outboundTransparent", "27217", "--exemptGroup", "4321"];
/// Every address of the sidecar's host.
const OWN: [&str; 4] = ["10.98.0.1", "10.98.0.9", "fd98::1", "fd98::9"];

/// Creates the hosts, or skips the test.
macro_rules! hosts {
    () => {
        hosts!(&["0.0.0.0@27017", "::@27017"])
    };
    ($mongod:expr) => {{
        require_root!();
        for command in ["ip", "nft", "python3", "setpriv"] {
            require_command!(command);
        }
        require!(Hosts::with_mongod($mongod))
    }};
}

#[test]
fn rules_are_printed_applied_shown_and_removed_without_a_trace() {
    let hosts = hosts!();
    set(&hosts, "table ip other { chain c { type nat hook prerouting priority 0; tcp dport 80 redirect to :8080; }; }");
    let before = rules(&hosts);
    let both = [INBOUND, OUTBOUND].concat();
    done(&netfilter(&hosts, &both, "--remove"), "there is no table inet tlsramp: nothing to remove");
    let nothing = netfilter(&hosts, &both, "--show");
    assert_eq!(nothing.status.code(), Some(1), "{nothing:?}");
    assert_eq!(rules(&hosts), before);
    done(&netfilter(&hosts, &both, "--apply"), "applied: table inet tlsramp");
    let applied = rules(&hosts);
    let said = String::from_utf8(netfilter(&hosts, &both, "--apply").stdout).unwrap();
    assert!(!said.contains("WARNING"), "{said}");
    // The terms are those of nftables: a chain has the name of its hook, and the priority of its function.
    for words in
        ["chain prerouting {", "chain input {", "chain output {", "tproxy ip to :27117", "meta skgid 4321 return"]
    {
        assert!(applied.contains(words), "{words}: {applied}");
    }
    let shown = String::from_utf8(netfilter(&hosts, &both, "--show").stdout).unwrap();
    assert!(shown.starts_with("table inet tlsramp {") && applied.contains(shown.trim()), "{shown}");
    assert_eq!(rules(&hosts), applied, "applied again");
    done(&netfilter(&hosts, INBOUND, "--apply"), "applied: table inet tlsramp");
    assert!(!rules(&hosts).contains("skgid"), "the new rules take the place of the old ones");
    // The printed script is the one that is applied.
    let script = hosts.run(Host::Sidecar, &[&[PROGRAM, "netfilter"], both.as_slice()].concat(), "");
    hosts.run(Host::Sidecar, &["nft", "-f", "-"], &script);
    assert_eq!(rules(&hosts), applied, "{script}");

    // The table of another sidecar is separate.
    let two = ["--serverPort", "27018", "--port", "27118", "--table", "two", "--serverAddress", "10.98.0.9", "--apply"];
    let said = hosts.run(Host::Sidecar, &[&[PROGRAM, "netfilter"], &two[..]].concat(), "");
    for line in ["port 27018 of 10.98.0.9 go to port 27118 (TPROXY)", "WARNING: nothing listens on port 27118"] {
        assert!(said.contains(line), "{said}");
    }
    done(&netfilter(&hosts, &["--table", "two"], "--remove"), "removed: table inet two");
    assert_eq!(rules(&hosts), applied);
    done(&netfilter(&hosts, &both, "--remove"), "removed: table inet tlsramp");
    done(&netfilter(&hosts, &both, "--remove"), "nothing to remove");
    assert_eq!(rules(&hosts), before);
}

#[test]
fn connections_from_other_hosts_are_intercepted_and_those_within_the_host_are_not() {
    let servers: [&[&str]; 5] = [
        &["0.0.0.0@27017"],
        &["0.0.0.0@27017", "::@27017"],
        &["::@27017@dual"],
        &["127.0.0.1@27017", "10.98.0.9@27017"],
        &["127.0.0.1@27017", "10.98.0.1@27017", "fd98::9@27017"],
    ];
    for server in servers {
        let mut hosts = hosts!(server);
        let all = OWN.map(|ip| format!("{ip}@27017"));
        let reached = |hosts: &Hosts, from| hosts.connect(from, "-", &all.each_ref().map(String::as_str));
        let (before, within) = (reached(&hosts, Host::Others), reached(&hosts, Host::Sidecar));
        let open = before.iter().position(|said| said.starts_with("27017 ")).expect("it listens for others");
        // On a host that has tracked no connection yet, the next packet of an open connection is the first that the
        // rules see.
        let mut older = hosts.hold(Host::Others, &format!("{}@27017", OWN[open]));
        let mut outward = hosts.hold(Host::Sidecar, "10.98.0.2@27017");
        let said = netfilter(&hosts, INBOUND, "--apply");
        done(&said, "1 connection of other hosts to port 27017 is older than the rules");
        done(&said, "as root, ss -K sport = :27017 and dst ");
        assert_eq!(
            (older.asks("still there?").as_str(), outward.asks("and you?").as_str()),
            ("still there?", "and you?")
        );
        // Connections that reached the server now reach tlsramp at the same address; others still do not.
        let behind: Vec<_> = before.iter().map(|said| said.replace("27017 ", "27117 ")).collect();
        assert_eq!(reached(&hosts, Host::Others), behind, "{server:?}");
        assert_eq!(reached(&hosts, Host::Sidecar), within, "{server:?}");
        let out = hosts.connect(Host::Sidecar, "-", &["10.98.0.2@27017", &canary(27117), &canary(27217)]);
        assert_eq!(out, ["27017 10.98.0.2", "27117 127.0.0.1", "refused"], "outbound, nothing but the canary");

        // The same while tlsramp is down.
        hosts.kill_tlsramp();
        assert_eq!(older.asks("still there?"), "still there?");
        let refused = vec!["refused"; before.len()];
        assert_eq!(reached(&hosts, Host::Others), refused, "{server:?}");
        assert_eq!(reached(&hosts, Host::Sidecar), within, "{server:?}");
        let bypass = [INBOUND, &["--whenDown", "bypass"]].concat();
        done(&netfilter(&hosts, &bypass, "--apply"), "they reach the server without tlsramp, in plaintext");
        assert_eq!(reached(&hosts, Host::Others), before, "{server:?}");
        hosts.start_tlsramp();
        assert_eq!(reached(&hosts, Host::Others), behind, "{server:?}");

        done(&netfilter(&hosts, INBOUND, "--remove"), "removed");
        assert_eq!(reached(&hosts, Host::Others), before, "{server:?}");
        assert_eq!(hosts.connect(Host::Sidecar, "-", &[&canary(27117)]), ["refused"]);
        assert_eq!(older.asks("still there?"), "still there?");
    }
}

#[test]
fn connections_to_other_members_are_redirected_but_for_the_exempt_group() {
    let mut hosts = hosts!();
    let mut older = hosts.hold(Host::Sidecar, "10.98.0.2@27017");
    done(&netfilter(&hosts, OUTBOUND, "--apply"), "outbound: connections to port 27017 go to port 27217");
    assert_eq!(older.asks("still there?"), "still there?");
    let members = ["10.98.0.2@27017", "fd98::2@27017", "10.98.0.2@27018"];
    let redirected = hosts.connect(Host::Sidecar, "-", &members);
    assert_eq!(redirected, ["27217 127.0.0.1", "27217 ::1", "27018 10.98.0.2"]);
    let exempt = ["setpriv", "--regid", "4321", "--clear-groups"];
    let exempt = hosts.connect_by(Host::Sidecar, &exempt, "-", &members);
    assert_eq!(exempt, ["27017 10.98.0.2", "27017 fd98::2", "27018 10.98.0.2"]);
    // A supplementary group of the process does not count.
    let beside = ["setpriv", "--regid", "1234", "--groups", "4321"];
    assert_eq!(hosts.connect_by(Host::Sidecar, &beside, "-", &members[..1]), ["27217 127.0.0.1"]);
    let within =
        ["127.0.0.1@27017", "::1@27017", "10.98.0.1@27017", "10.98.0.9@27017", "fd98::1@27017", &canary(27217)];
    let within = hosts.connect(Host::Sidecar, "-", &within);
    let expected =
        ["27017 127.0.0.1", "27017 ::1", "27017 10.98.0.1", "27017 10.98.0.9", "27017 fd98::1", "27217 127.0.0.1"];
    assert_eq!(within, expected);
    assert_eq!(hosts.connect(Host::Others, "-", &["10.98.0.1@27017"]), ["27017 10.98.0.1"], "inbound");

    let narrowed = [OUTBOUND, &["--memberAddress", "10.98.0.3", "--memberAddress", "fd98::2/127"]].concat();
    done(&netfilter(&hosts, &narrowed, "--apply"), "of 10.98.0.3, fd98::2/127 go to port 27217");
    let members = ["10.98.0.2@27017", "10.98.0.3@27017", "fd98::2@27017"];
    let redirected = hosts.connect(Host::Sidecar, "-", &members);
    assert_eq!(redirected, ["27017 10.98.0.2", "27217 127.0.0.1", "27217 ::1"]);
}

/// A firewall that admits 10.98.0.2 and fd98::2, but not 10.98.0.3 and fd98::3, to the mongod's port: its name, and
/// commands with their input.
type Firewall = (&'static str, &'static [(&'static [&'static str], &'static str)]);

const FIREWALLS: [Firewall; 4] = [
    ("an allow list", &[(&["nft", "-f", "-"], ALLOW_LIST)]),
    ("a list of those kept out", &[(&["nft", "-f", "-"], DENY_LIST)]),
    // The rules as firewalld 1.3 and ufw 0.36 write them.
    ("firewalld", &[(&["nft", "-f", "-"], include_str!("firewalls/firewalld.nft"))]),
    (
        "ufw",
        &[
            (&["iptables-restore"], include_str!("firewalls/ufw.iptables")),
            (&["ip6tables-restore"], include_str!("firewalls/ufw.ip6tables")),
        ],
    ),
];

const ALLOW_LIST: &str = "table inet filter {
    set ports { type inet_service; elements = { 27017 }; }
    chain mongo { ip saddr 10.98.0.3 drop; tcp dport 27017 ip6 saddr fd98::2 counter accept; }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        ct status dnat accept
        iifname \"lo\" accept
        meta l4proto { icmp, ipv6-icmp } accept
        tcp dport vmap { 22 : accept, 27017 : jump mongo }
        ip saddr 10.98.0.2 tcp dport @ports accept
    }
}";

const DENY_LIST: &str = "table inet filter {
    chain early {
        type filter hook prerouting priority raw; policy accept;
        tcp dport 27000-27200 ip saddr 10.98.0.3 drop
        tcp dport 27000-27200 ip6 saddr fd98::3 drop
    }
    chain input {
        type filter hook input priority filter; policy accept;
        tcp dport != { 22, 27017 } iifname \"eth0\" reject with tcp reset
    }
}";

#[test]
fn a_firewall_admits_the_same_sources_before_behind_and_after_and_no_rule_of_it_is_read() {
    require_root!();
    require_command!("iptables-restore");
    let pairs: Vec<String> =
        [("10.98.0.2", "10.98.0"), ("10.98.0.3", "10.98.0"), ("fd98::2", "fd98:"), ("fd98::3", "fd98:")]
            .iter()
            .flat_map(|(from, family)| {
                OWN.iter().filter(move |own| own.starts_with(family)).map(move |own| (from, own))
            })
            .flat_map(|(from, own)| ["27017", "27117", "27217", "22"].map(|port| format!("{from}@{own}@{port}")))
            .collect();
    for (what, commands) in FIREWALLS {
        let mut hosts = hosts!();
        for (load, input) in commands {
            hosts.run(Host::Sidecar, load, input);
        }
        let before = hosts.reach(&pairs);
        let served = |said: &[String], port: &str| -> Vec<String> {
            let served = pairs.iter().zip(said).filter(|(_, said)| said.starts_with(port));
            served.map(|(pair, _)| pair.clone()).collect()
        };
        let admitted = served(&before, "27017 ");
        assert_eq!(admitted.len(), 4, "{what}: {admitted:?}");
        let admits_two = |pair: &String| pair.starts_with("10.98.0.2@") || pair.starts_with("fd98::2@");
        assert!(admitted.iter().all(admits_two), "{what}: {admitted:?}");
        let of_the_host = rules(&hosts);

        let watched = Watched::new(&hosts);
        done(&watched.netfilter(&hosts, INBOUND, "--apply"), "applied");
        // Connections that reached the server now reach tlsramp; nothing else has changed.
        let behind: Vec<String> = hosts.reach(&pairs);
        let expected: Vec<String> = before.iter().map(|said| said.replace("27017 ", "27117 ")).collect();
        assert_eq!(behind, expected, "{what}: {pairs:?}");
        let own = hosts.run(Host::Sidecar, &["nft", "-s", "list", "table", "inet", "tlsramp"], "");
        assert_eq!(rules(&hosts).replace(&own, ""), of_the_host, "{what}");

        // While tlsramp is down, the firewall decides first: rejected clients get the same answer as before.
        hosts.kill_tlsramp();
        let down: Vec<String> = before.iter().map(|said| refused_of(said, "27017 ")).collect();
        let down: Vec<String> = down.iter().map(|said| refused_of(said, "27117 ")).collect();
        let down: Vec<String> = down.iter().map(|said| refused_of(said, "27217 ")).collect();
        assert_eq!(hosts.reach(&pairs), down, "{what}: while tlsramp is down");
        hosts.start_tlsramp();
        done(&watched.netfilter(&hosts, INBOUND, "--remove"), "removed");
        assert_eq!(hosts.reach(&pairs), before, "{what}");
        assert_eq!(rules(&hosts), of_the_host, "{what}");
        let known = ["nft -s list table inet tlsramp", "nft --check -f -", "nft -f -"];
        let commands = watched.commands();
        assert!(!commands.is_empty() && commands.iter().all(|one| known.contains(&one.as_str())), "{commands:#?}");
    }
}

/// TPROXY takes a socket in TIME_WAIT for one of tlsramp's, and the kernel then looks for a listener again.
#[test]
fn what_tlsramp_closed_before_it_went_down_gets_around_nothing() {
    let mut hosts = hosts!();
    done(&netfilter(&hosts, INBOUND, "--apply"), "applied");
    let connections = [("10.98.0.2/44444", "10.98.0.1@27017"), ("fd98::2/44444", "fd98::1@27017")];
    for (from, to) in connections {
        assert!(hosts.closed(from, to).starts_with("27117 "), "{to}");
        let waiting = hosts.run(Host::Sidecar, &["ss", "-Htan", "state", "time-wait", "sport", "=", ":27017"], "");
        assert!(waiting.contains(":44444"), "{waiting}");
        // The same source port again, while tlsramp is up.
        assert!(hosts.closed(from, to).starts_with("27117 "), "{to}");
    }
    hosts.kill_tlsramp();
    for (from, to) in connections {
        assert_eq!(hosts.connect(Host::Others, from, &[to]), ["refused"], "{to}");
        assert_eq!(hosts.connect(Host::Others, "-", &[to]), ["refused"], "{to}");
    }
    hosts.start_tlsramp();
    for (from, to) in connections {
        assert!(hosts.connect(Host::Others, from, &[to])[0].starts_with("27117 "), "{to}");
    }
}

#[test]
fn what_the_host_itself_translates_to_the_servers_port_is_intercepted_too() {
    let mut hosts = hosts!();
    set(
        &hosts,
        "table ip alias { chain c { type nat hook prerouting priority dstnat; tcp dport 27020 redirect to :27017; }; }",
    );
    let to = ["10.98.0.1@27020"];
    assert_eq!(hosts.connect(Host::Others, "-", &to), ["27017 10.98.0.1"]);
    done(&netfilter(&hosts, INBOUND, "--apply"), "applied");
    assert_eq!(hosts.connect(Host::Others, "-", &to), ["27117 10.98.0.1"]);
    hosts.kill_tlsramp();
    assert_eq!(hosts.connect(Host::Others, "-", &to), ["refused"]);
}

#[test]
fn open_connections_go_on_from_redirect_to_tproxy_and_back() {
    let mut hosts = hosts!();
    let redirect = [INBOUND, &["--redirect"]].concat();
    let mut held = vec![hosts.hold(Host::Others, "10.98.0.1@27017")];
    for form in [&redirect[..], INBOUND, &redirect[..], INBOUND] {
        done(&netfilter(&hosts, form, "--apply"), "applied");
        for to in ["10.98.0.1@27017", "fd98::9@27017"] {
            assert!(hosts.connect(Host::Others, "-", &[to])[0].starts_with("27117 "), "{form:?}");
            held.push(hosts.hold(Host::Others, to));
        }
        let said: Vec<String> = held.iter_mut().map(|one| one.asks("still there?")).collect();
        assert!(said.iter().all(|said| said == "still there?"), "{form:?}: {said:?}");
    }
    // The kernel translates addresses as long as a table with a nat chain exists.
    for _ in 0..2 {
        done(&netfilter(&hosts, INBOUND, "--remove"), "4 redirected connections are still open");
        let said: Vec<String> = held.iter_mut().map(|one| one.asks("still there?")).collect();
        assert!(said.iter().all(|said| said == "still there?"), "removed: {said:?}");
        assert_eq!(hosts.connect(Host::Others, "-", &["10.98.0.1@27017"]), ["27017 10.98.0.1"]);
    }
    drop(held);
    hosts.kill_tlsramp();
    done(&netfilter(&hosts, INBOUND, "--remove"), "removed: table inet tlsramp;");
    assert_eq!(rules(&hosts), "");

    // Neither TPROXY nor a connection to tlsramp's own port needs the rules that remain for redirected connections.
    hosts.start_tlsramp();
    done(&netfilter(&hosts, INBOUND, "--apply"), "applied");
    let mut held = [hosts.hold(Host::Others, "10.98.0.1@27017"), hosts.hold(Host::Sidecar, "127.0.0.1@27117")];
    done(&netfilter(&hosts, INBOUND, "--remove"), "removed: table inet tlsramp;");
    assert!(held.iter_mut().all(|one| one.asks("still there?") == "still there?"));
}

#[test]
fn a_redirect_waits_until_rules_that_name_the_port_are_acknowledged() {
    let hosts = hosts!();
    let redirect = [INBOUND, &["--redirect"]].concat();
    set(&hosts, ALLOW_LIST);
    for (iptables, rule) in
        [("iptables-nft", "-m multiport --dports 22,27000:27100"), ("iptables-legacy", "--dport 27117")]
    {
        require_command!(iptables);
        // All namespaces share one lock of the legacy tables.
        let rule = format!("{iptables} -w -A INPUT -p tcp {rule} -j ACCEPT");
        hosts.run(Host::Sidecar, &rule.split(' ').collect::<Vec<_>>(), "");
    }
    let before = rules(&hosts);
    let said = refused(&netfilter(&hosts, &redirect, "--apply"));
    for line in [
        "table inet filter, set ports: elements = { 27017 }",
        "table inet filter, chain mongo: tcp dport 27017 ip6 saddr fd98::2",
        "table inet filter, chain input: tcp dport vmap { 22 : accept, 27017 : jump mongo }",
        "iptables-nft -t filter: -A INPUT -p tcp -m multiport --dports 22,27000:27100 -j ACCEPT",
        "iptables-legacy -t filter: -A INPUT -p tcp -m tcp --dport 27117 -j ACCEPT",
        "--acknowledgeFirewall",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(rules(&hosts), before);
    // None of these rules prevents TPROXY.
    done(&netfilter(&hosts, INBOUND, "--apply"), "(TPROXY)");
    let acknowledged = [&redirect[..], &["--acknowledgeFirewall"]].concat();
    done(&netfilter(&hosts, &acknowledged, "--apply"), "(redirect)");
    // tlsramp's own table does not count as one of the host's.
    let said = refused(&netfilter(&hosts, &redirect, "--apply"));
    assert!(!said.contains("tlsramp:"), "{said}");
    let hidden = [
        "unshare",
        "-m",
        "sh",
        "-c",
        "mount --bind /dev/null $(readlink -f $(command -v iptables-legacy-save)) && exec \"$@\"",
        "sh",
    ];
    let command = [&hidden[..], &[PROGRAM, "netfilter"], &redirect, &["--apply"]].concat();
    let said = refused(&hosts.output(Host::Sidecar, &command, ""));
    assert!(said.contains("tables that only iptables-legacy-save can list, which is not in PATH"), "{said}");
}

#[test]
fn rules_that_are_kept_come_back_after_a_reload_of_a_firewall_until_they_are_removed() {
    let mut hosts = hosts!(&["127.0.0.1@27017", "10.98.0.1@27017"]);
    let keep = [&[PROGRAM, "netfilter"], INBOUND, &["--keep"]].concat();
    let mut said = hosts.go_on(Host::Sidecar, &keep);
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "applied: table inet tlsramp\n");
    let applied = rules(&hosts);
    for reload in ["flush ruleset", "delete table inet tlsramp", "flush chain inet tlsramp prerouting"] {
        set(&hosts, &format!("{reload}\n{ALLOW_LIST}"));
        set(&hosts, "delete table inet filter");
        eventually(reload, || rules(&hosts) == applied);
    }
    // The table may be cleared at any time, for example between loading and listing it.
    for pause in 0..40 {
        set(&hosts, "flush table inet tlsramp");
        thread::sleep(Duration::from_millis(pause * 7 % 40));
    }
    eventually("emptied", || rules(&hosts) == applied);
    // Neither another `--keep` nor other rules may interfere.
    for verb in ["--keep", "--apply"] {
        let said = refused(&netfilter(&hosts, INBOUND, verb));
        assert!(said.contains("keeps the table inet tlsramp"), "{said}");
    }
    let shown = netfilter(&hosts, &[], "--show");
    done(&shown, "# kept by process ");
    // The server moves to another address: it is reached there, and nowhere else.
    hosts.start_mongod(&["10.98.0.9@27017"]).unwrap();
    eventually("another address", || rules(&hosts).contains("10.98.0.9"));
    let to = ["10.98.0.1@27017", "10.98.0.9@27017"];
    assert_eq!(hosts.connect(Host::Others, "-", &to), ["27117 10.98.0.1", "27117 10.98.0.9"]);
    hosts.stop_last();
    eventually("its own again", || rules(&hosts) == applied);

    // A rule that another program adds to the table is left alone, and so is the process that keeps the table.
    set(&hosts, "add rule inet tlsramp output counter");
    let said = refused(&netfilter(&hosts, &[], "--remove"));
    assert!(said.contains("is not tlsramp's") && rules(&hosts).contains("counter"), "{said}");
    set(&hosts, "flush chain inet tlsramp output");
    eventually("without it", || rules(&hosts) == applied);

    let removed = netfilter(&hosts, &[], "--remove");
    done(&removed, "which kept the table");
    done(&removed, "removed: table inet tlsramp");
    assert_eq!(rules(&hosts), "");
    let ended = hosts.wait_last().expect("it ends");
    assert_eq!(ended.code(), Some(0));

    // Before the server starts, while it listens on loopback only, and after it has moved: no connection reaches it
    // directly.
    let mut hosts = hosts!(&["127.0.0.1@1"]);
    let mut said = hosts.go_on(Host::Sidecar, &keep);
    said.read_line(&mut line).unwrap();
    assert!(rules(&hosts).contains("fib daddr type local"), "{}", rules(&hosts));
    let to = ["10.98.0.1@27017"];
    for server in ["127.0.0.1@27017", "0.0.0.0@27017"] {
        hosts.start_mongod(&[server]).unwrap();
        for _ in 0..5 {
            let said = hosts.connect(Host::Others, "-", &to).concat();
            assert!(said == "refused" || said.starts_with("27117 "), "{server}: {said}");
            thread::sleep(Duration::from_millis(500));
        }
        if server.starts_with("127") {
            hosts.stop_last();
        }
    }
    assert_eq!(hosts.connect(Host::Others, "-", &to), ["27117 10.98.0.1"]);
}

#[test]
fn a_firewall_that_drops_what_is_redirected_within_the_host_is_told() {
    let hosts = hosts!();
    set(
        &hosts,
        "table inet filter { chain input { type filter hook input priority filter; policy drop;
            ct state established accept
            tcp dport 27017 accept
        }; }",
    );
    let said = netfilter(&hosts, OUTBOUND, "--apply");
    done(&said, "WARNING: a connection from this host that is redirected to port 27217 does not arrive");
    hosts.run(Host::Sidecar, &["nft", "add rule inet filter input iifname lo accept"], "");
    let said = String::from_utf8(netfilter(&hosts, OUTBOUND, "--apply").stdout).unwrap();
    assert!(!said.contains("WARNING"), "{said}");
    assert_eq!(hosts.connect(Host::Sidecar, "-", &["10.98.0.2@27017"]), ["27217 127.0.0.1"]);
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_is_changed() {
    let mut hosts = hosts!();
    set(
        &hosts,
        "table inet mine { chain prerouting { type nat hook prerouting priority -100; tcp dport 1 redirect to :2; }; }",
    );
    let before = rules(&hosts);
    let mine = [INBOUND, &["--table", "mine"]].concat();
    for verb in ["--apply", "--keep", "--show", "--remove"] {
        let output = netfilter(&hosts, &mine, verb);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains("the table inet mine is not tlsramp's"), "{said}");
    }
    for verb in ["--apply", "--keep", "--remove"] {
        let all = [&[PROGRAM, "netfilter"], INBOUND, &[verb]].concat();
        let unprivileged = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-all"];
        let said = refused(&hosts.output(Host::Sidecar, &[&unprivileged[..], all.as_slice()].concat(), ""));
        assert!(said.contains("CAP_NET_ADMIN"), "{said}");
        let without = ["unshare", "-m", "sh", "-c", "mount --bind /dev/null $(command -v nft) && exec \"$@\"", "sh"];
        let said = refused(&hosts.output(Host::Sidecar, &[&without[..], all.as_slice()].concat(), ""));
        assert!(said.contains("nft is not in PATH") && said.contains("nftables"), "{said}");
    }
    // Ports for which nothing fits.
    let other = ["--serverPort", "27018", "--port", "27117"];
    let said = refused(&netfilter(&hosts, &other, "--apply"));
    assert!(said.contains("nothing listens on port 27018") && said.contains("--serverAddress"), "{said}");
    hosts.start_mongod(&["127.0.0.1@27018", "::1@27018"]).unwrap();
    let said = refused(&netfilter(&hosts, &other, "--apply"));
    assert!(said.contains("listens on loopback only"), "{said}");
    let keyword = [INBOUND, &["--table", "inet"]].concat();
    let said = refused(&netfilter(&hosts, &keyword, "--apply"));
    assert!(said.contains("--table inet is a reserved word of nft"), "{said}");
    let not_transparent = ["--serverPort", "27117", "--port", "27017"];
    let said = refused(&netfilter(&hosts, &not_transparent, "--apply"));
    assert!(said.contains("not transparent") && said.contains("--inboundTransparent"), "{said}");
    assert_eq!(rules(&hosts), before);
}

#[test]
fn usage_is_told_without_any_privilege() {
    let mut command = std::process::Command::new(PROGRAM);
    command.args(["netfilter", "--port", "0", "--exemptGroup", "5", "--apply", "--remove"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    for mistake in
        ["--apply, --remove: they exclude", "--port '0'", "--serverPort: --port requires it", "--exemptGroup '5'"]
    {
        assert!(said.contains(mistake), "{mistake}: {said}");
    }
}

/// Replaces a server's answer with `refused`.
fn refused_of(said: &str, server: &str) -> String {
    if said.starts_with(server) { "refused".to_owned() } else { said.to_owned() }
}

/// Wrappers of the real tools that record how they are called.
struct Watched(Scratch);

impl Watched {
    fn new(hosts: &Hosts) -> Self {
        let folder = Scratch::new("watched");
        for tool in ["nft", "iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save", "ip6tables-legacy-save"]
        {
            let real = hosts.run(Host::Sidecar, &["sh", "-c", &format!("command -v {tool} || true")], "");
            let file = folder.join(tool);
            let log = folder.join("log");
            let script = format!("#!/bin/sh\necho {tool} \"$@\" >> {}\nexec {} \"$@\"\n", log.display(), real.trim());
            fs::write(&file, script).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(folder)
    }

    fn netfilter(&self, hosts: &Hosts, options: &[&str], verb: &str) -> Output {
        let path = format!("PATH={}:{}", self.0.join("").display(), std::env::var("PATH").unwrap());
        hosts.output(Host::Sidecar, &[&["env", &path, PROGRAM, "netfilter"], options, &[verb]].concat(), "")
    }

    fn commands(&self) -> Vec<String> {
        let log = fs::read_to_string(self.0.join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

/// The canary address of the port to which it is redirected.
fn canary(port: u16) -> String {
    let address = tlsramp::testing::canary(port);
    format!("{}@{}", address.ip(), address.port())
}

fn netfilter(hosts: &Hosts, options: &[&str], verb: &str) -> Output {
    hosts.output(Host::Sidecar, &[&[PROGRAM, "netfilter"], options, &[verb]].concat(), "")
}

#[track_caller]
fn done(output: &Output, expected: &str) {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains(expected), "{expected}: {output:?}");
}

/// The error text.
#[track_caller]
fn refused(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("nothing was changed"), "{output:?}");
    said
}

#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        thread::sleep(Duration::from_millis(50));
    }
}

fn set(hosts: &Hosts, script: &str) {
    hosts.run(Host::Sidecar, &["nft", "-f", "-"], script);
}

fn rules(hosts: &Hosts) -> String {
    hosts.run(Host::Sidecar, &["nft", "-s", "list", "ruleset"], "")
}
