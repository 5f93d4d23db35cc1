//! The redirect rules of a sidecar, in the kernel: who is redirected, who is not, and what a firewall makes of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

use std::process::Output;

use crate::support::cable::{Host, Hosts};
use crate::support::{require, require_command, require_root};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tlsramp");
const INBOUND: &[&str] = &["--serverPort", "27017", "--port", "27117"];
const OUTBOUND: &[&str] = &["--memberPort", "27017", "--outboundTransparent", "27217", "--exemptGroup", "4321"];

/// What a test here needs, or the test ends.
macro_rules! hosts {
    () => {{
        require_root!();
        for command in ["ip", "nft", "python3", "setpriv"] {
            require_command!(command);
        }
        require!(Hosts::new())
    }};
}

#[test]
fn what_was_applied_is_removed_without_a_trace() {
    let hosts = hosts!();
    set(&hosts, "table ip other { chain c { type nat hook prerouting priority 0; tcp dport 80 redirect to :8080; }; }");
    let before = rules(&hosts);
    let both = [INBOUND, OUTBOUND].concat();
    done(&netfilter(&hosts, &both, "--remove"), "there is no table inet tlsramp: nothing to remove");
    assert_eq!(rules(&hosts), before);
    done(&netfilter(&hosts, &both, "--apply"), "applied: table inet tlsramp");
    let applied = rules(&hosts);
    let said = String::from_utf8(netfilter(&hosts, &both, "--apply").stdout).unwrap();
    assert!(!said.contains("WARNING"), "{said}");
    // The words are nftables': a chain has the name of its hook, and its priority that of what it does.
    for words in
        ["chain prerouting {", "chain output {", "priority dstnat;", "redirect to :27117", "meta skgid 4321 return"]
    {
        assert!(applied.contains(words), "{words}: {applied}");
    }
    done(&netfilter(&hosts, &both, "--apply"), "applied: table inet tlsramp");
    assert_eq!(rules(&hosts), applied, "applied again");
    done(&netfilter(&hosts, INBOUND, "--apply"), "applied: table inet tlsramp");
    assert!(!rules(&hosts).contains("skgid"), "the new rules take the place of the old ones");
    // What is printed is what is applied.
    let script = hosts.run(Host::Sidecar, &[&[PROGRAM, "netfilter"], both.as_slice()].concat(), "");
    hosts.run(Host::Sidecar, &["nft", "-f", "-"], &script);
    assert_eq!(rules(&hosts), applied, "{script}");

    // Another sidecar's table is another's.
    let two = ["--serverPort", "27018", "--port", "27118", "--table", "two"];
    done(&netfilter(&hosts, &two, "--apply"), "WARNING: nobody listens on port 27118 for other hosts");
    done(&netfilter(&hosts, &["--table", "two"], "--remove"), "removed: table inet two");
    assert_eq!(rules(&hosts), applied);
    done(&netfilter(&hosts, &both, "--remove"), "removed: table inet tlsramp");
    done(&netfilter(&hosts, &both, "--remove"), "nothing to remove");
    assert_eq!(rules(&hosts), before);
}

#[test]
fn connections_from_outside_are_redirected_and_those_within_the_host_are_not() {
    let mut hosts = hosts!();
    let to = ["10.98.0.1@27017", "10.98.0.9@27017", "fd98::1@27017"];
    // On a host that has tracked nothing yet, its next packet is the first that the rules see.
    let mut older = hosts.hold(Host::Others, "10.98.0.1@27017");
    let mut outward = hosts.hold(Host::Sidecar, "10.98.0.2@27017");
    let said = netfilter(&hosts, INBOUND, "--apply");
    done(&said, "1 connection of another host to port 27017 is older than the redirect");
    assert_eq!((older.asks("still there?").as_str(), outward.asks("and you?").as_str()), ("still there?", "and you?"));
    let outside = hosts.connect(Host::Others, "-", &to);
    // By IPv4 and IPv6; the kernel leads them to the first address of the interface, whichever they were for.
    assert_eq!(outside, ["27117 10.98.0.1", "27117 10.98.0.1", "27117 fd98::1"]);
    let within = ["127.0.0.1@27017", "::1@27017", "10.98.0.1@27017", "10.98.0.9@27017", "fd98::1@27017"];
    let within = hosts.connect(Host::Sidecar, "-", &within);
    assert!(within.iter().all(|port| port.starts_with("27017 ")), "{within:?}");
    // Out, nothing is redirected but the canary.
    let out = hosts.connect(Host::Sidecar, "-", &["10.98.0.2@27017", &canary(27117), &canary(27217)]);
    assert_eq!(out, ["27017 10.98.0.2", "27117 127.0.0.1", "refused"]);
    done(&netfilter(&hosts, INBOUND, "--remove"), "removed");
    let outside = hosts.connect(Host::Others, "-", &to);
    assert!(outside.iter().all(|port| port.starts_with("27017 ")), "{outside:?}");
    assert_eq!(hosts.connect(Host::Sidecar, "-", &[&canary(27117)]), ["refused"]);
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
    // A group that the process is in beside its own does not count.
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

#[test]
fn a_firewall_admits_the_same_sources_before_behind_and_after_the_redirect() {
    let hosts = hosts!();
    set(
        &hosts,
        "table inet filter {
            set ports { type inet_service; elements = { 27017 }; }
            chain mongo { ip saddr 10.98.0.3 drop; tcp dport 27017 ip6 saddr fd98::2 counter accept comment \"tcp dport 27017\"; }
            chain input {
                type filter hook input priority filter; policy drop;
                ct state established,related accept
                ct status dnat accept
                iifname \"lo\" accept
                meta l4proto { icmp, ipv6-icmp } accept
                tcp dport vmap { 22 : accept, 27017 : jump mongo }
                ip saddr 10.98.0.2 tcp dport @ports accept
            }
        }",
    );
    let admitted = || {
        let from = |source: &str, to: &str| hosts.connect(Host::Others, source, &[to]).concat();
        ["10.98.0.2", "10.98.0.3"]
            .map(|source| from(source, "10.98.0.1@27017"))
            .into_iter()
            .chain(["fd98::2", "fd98::3"].map(|source| from(source, "fd98::1@27017")))
            .collect::<Vec<_>>()
    };
    assert_eq!(admitted(), ["27017 10.98.0.1", "nothing", "27017 fd98::1", "nothing"]);
    let before = rules(&hosts);
    let said = refused(&netfilter(&hosts, INBOUND, "--apply"));
    for rule in
        ["inet filter mongo handle", "inet filter input handle", "ct status dnat accept", "tcp dport @ports accept"]
    {
        assert!(said.contains(rule), "{rule}: {said}");
    }
    assert_eq!(rules(&hosts), before, "nothing was changed");
    // As it would be without the commands.
    let script = hosts.run(Host::Sidecar, &[&[PROGRAM, "netfilter"], INBOUND].concat(), "");
    hosts.run(Host::Sidecar, &["nft", "-f", "-"], &script);
    assert_eq!(admitted(), ["27117 10.98.0.1", "27117 10.98.0.1", "27117 fd98::1", "27117 fd98::1"], "a hole");
    done(&netfilter(&hosts, INBOUND, "--remove"), "removed");

    carry_over(&hosts, INBOUND);
    assert_eq!(admitted(), ["27017 10.98.0.1", "nothing", "27017 fd98::1", "nothing"], "without the redirect");
    done(&netfilter(&hosts, INBOUND, "--apply"), "applied");
    assert_eq!(admitted(), ["27117 10.98.0.1", "nothing", "27117 fd98::1", "nothing"], "behind the redirect");
    assert_eq!(hosts.connect(Host::Sidecar, "-", &[&canary(27117)]), ["27117 127.0.0.1"]);
    done(&netfilter(&hosts, INBOUND, "--remove"), "removed");
    assert_eq!(admitted(), ["27017 10.98.0.1", "nothing", "27017 fd98::1", "nothing"], "after it");
}

#[test]
fn a_firewall_that_forbids_the_port_goes_on_doing_so() {
    let hosts = hosts!();
    set(
        &hosts,
        "table inet filter { chain input { type filter hook input priority filter;
            tcp dport 27000-27050 ip saddr 10.98.0.3 reject with tcp reset
            tcp dport != { 22, 27017 } ip saddr 10.98.0.2 reject with tcp reset
        }; }",
    );
    let admitted =
        || ["10.98.0.2", "10.98.0.3"].map(|source| hosts.connect(Host::Others, source, &["10.98.0.1@27017"]).concat());
    assert_eq!(admitted(), ["27017 10.98.0.1", "refused"]);
    refused(&netfilter(&hosts, INBOUND, "--apply"));
    carry_over(&hosts, INBOUND);
    done(&netfilter(&hosts, INBOUND, "--apply"), "applied");
    assert_eq!(admitted(), ["27117 10.98.0.1", "refused"]);
    done(&netfilter(&hosts, INBOUND, "--remove"), "removed");
    assert_eq!(admitted(), ["27017 10.98.0.1", "refused"]);
}

#[test]
fn iptables_rules_are_found_and_carried_over_in_their_own_words() {
    let hosts = hosts!();
    for iptables in ["iptables-nft", "iptables-legacy"] {
        require_command!(iptables);
        let add = |rule: &str| {
            let words: Vec<&str> = [iptables].into_iter().chain(rule.split(' ')).collect();
            hosts.run(Host::Sidecar, &words, "");
        };
        add("-A INPUT -i lo -j ACCEPT");
        add("-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT");
        add("-A INPUT -s 10.98.0.2 -p tcp -m multiport --dports 22,27017 -m comment --comment here -j ACCEPT");
        add("-P INPUT DROP");
        let admitted = || {
            ["10.98.0.2", "10.98.0.3"].map(|source| hosts.connect(Host::Others, source, &["10.98.0.1@27017"]).concat())
        };
        assert_eq!(admitted(), ["27017 10.98.0.1", "nothing"], "{iptables}");
        let said = refused(&netfilter(&hosts, INBOUND, "--apply"));
        assert!(said.contains(&format!("{iptables} -t filter INPUT rule 3: -s 10.98.0.2/32 -p tcp")), "{said}");
        carry_over(&hosts, INBOUND);
        done(&netfilter(&hosts, INBOUND, "--apply"), "applied");
        assert_eq!(admitted(), ["27117 10.98.0.1", "nothing"], "{iptables}");
        done(&netfilter(&hosts, INBOUND, "--remove"), "removed");
        assert_eq!(admitted(), ["27017 10.98.0.1", "nothing"], "{iptables}");
        add("-P INPUT ACCEPT");
        add("-F INPUT");
    }
    let without = [
        "unshare",
        "-m",
        "sh",
        "-c",
        "mount --bind /dev/null $(readlink -f $(command -v iptables-legacy-save)) && exec \"$@\"",
        "sh",
    ];
    let output =
        hosts.output(Host::Sidecar, &[&without[..], &[PROGRAM, "netfilter"], INBOUND, &["--apply"]].concat(), "");
    let said = refused(&output);
    assert!(said.contains("could not be looked at") && said.contains("iptables-legacy-save is not in PATH"), "{said}");
}

#[test]
fn a_firewall_that_drops_what_is_redirected_on_its_way_out_is_found() {
    let hosts = hosts!();
    set(
        &hosts,
        "table inet filter { chain output { type filter hook output priority filter; policy drop;
            ct state established accept
            oifname \"lo\" accept
            meta l4proto { icmp, ipv6-icmp } accept
            tcp dport 27017 ip daddr 10.98.0.2 accept
            tcp dport 27017 ip6 daddr fd98::2 accept
        }; }",
    );
    let exempt = ["setpriv", "--regid", "4321", "--clear-groups"];
    let members = ["10.98.0.2@27017", "10.98.0.3@27017", "fd98::2@27017"];
    let said = refused(&netfilter(&hosts, OUTBOUND, "--apply"));
    assert!(said.contains("chain inet filter output\n") && said.contains("port 27217"), "{said}");
    carry_over(&hosts, OUTBOUND);
    done(&netfilter(&hosts, OUTBOUND, "--apply"), "applied");
    // The mongod comes to tlsramp whichever member it dials; what the firewall forbids, it forbids tlsramp.
    let redirected = hosts.connect(Host::Sidecar, "-", &members);
    assert_eq!(redirected, ["27217 127.0.0.1", "27217 127.0.0.1", "27217 ::1"]);
    let direct = hosts.connect_by(Host::Sidecar, &exempt, "-", &members);
    assert_eq!(direct, ["27017 10.98.0.2", "nothing", "27017 fd98::2"]);
    assert_eq!(hosts.connect(Host::Sidecar, "-", &[&canary(27217)]), ["27217 127.0.0.1"]);
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_is_changed() {
    let hosts = hosts!();
    set(
        &hosts,
        "table inet mine { chain prerouting { type nat hook prerouting priority -100; tcp dport 1 redirect to :2; }; }",
    );
    let before = rules(&hosts);
    let mine = [INBOUND, &["--table", "mine"]].concat();
    for verb in ["--apply", "--remove"] {
        let said = refused(&netfilter(&hosts, &mine, verb));
        assert!(said.contains("the table inet mine is not tlsramp's"), "{said}");
    }
    for verb in ["--apply", "--remove", "--carry-over"] {
        let all = [&[PROGRAM, "netfilter"], INBOUND, &[verb]].concat();
        let unprivileged = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-all"];
        let said = refused(&hosts.output(Host::Sidecar, &[&unprivileged[..], all.as_slice()].concat(), ""));
        assert!(said.contains("CAP_NET_ADMIN"), "{said}");
        let without = ["unshare", "-m", "sh", "-c", "mount --bind /dev/null $(command -v nft) && exec \"$@\"", "sh"];
        let said = refused(&hosts.output(Host::Sidecar, &[&without[..], all.as_slice()].concat(), ""));
        assert!(said.contains("nft is not in PATH") && said.contains("nftables"), "{said}");
    }
    // The port is redirected already.
    set(
        &hosts,
        "table ip nat { chain pre { type nat hook prerouting priority -100; tcp dport 27017 redirect to :5; }; }",
    );
    let said = refused(&netfilter(&hosts, INBOUND, "--apply"));
    assert!(said.contains("redirects port 27017 already"), "{said}");
    let carried = hosts.output(Host::Sidecar, &[&[PROGRAM, "netfilter"], INBOUND, &["--carry-over"]].concat(), "");
    let text = String::from_utf8_lossy(&carried.stdout);
    assert!(carried.status.code() == Some(1) && text.contains("# BY HAND: remove the one or the other"), "{carried:?}");
    hosts.run(Host::Sidecar, &["nft", "delete", "table", "ip", "nat"], "");
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
        ["--apply, --remove: they exclude", "--port '0'", "--serverPort: --port needs it", "--exemptGroup '5'"]
    {
        assert!(said.contains(mistake), "{mistake}: {said}");
    }
}

/// The canary of the port that it is led to.
fn canary(port: u16) -> String {
    let address = tlsramp::net::canary(port);
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

/// What it said.
#[track_caller]
fn refused(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let unchanged = said.contains("nothing was changed") || said.contains("PATH") || said.contains("CAP_NET_ADMIN");
    assert!(output.status.code() == Some(1) && unchanged, "{output:?}");
    said
}

/// Runs the commands that are printed; there is nothing more to do by hand, nor twice.
#[track_caller]
fn carry_over(hosts: &Hosts, options: &[&str]) {
    let carry = [&[PROGRAM, "netfilter"], options, &["--carry-over"]].concat();
    let commands = hosts.run(Host::Sidecar, &carry, "");
    hosts.run(Host::Sidecar, &["sh", "-e"], &commands);
    assert_eq!(hosts.run(Host::Sidecar, &carry, ""), "# No rule of this host has to be carried over.\n", "{commands}");
}

fn set(hosts: &Hosts, script: &str) {
    hosts.run(Host::Sidecar, &["nft", "-f", "-"], script);
}

fn rules(hosts: &Hosts) -> String {
    hosts.run(Host::Sidecar, &["nft", "list", "ruleset"], "")
}
