//! The rules, as a script for nft that sets them all at once. Every rule carries a comment of ours, by which the table is
//! known to be ours when it is replaced or removed.

use std::fmt::Write as _;

use ipnet::IpNet;

use super::network;
use super::settings::{Inbound, Intercept, Outbound, Sidecar, WhenDown};
use super::sockets::{Addresses, Local};
use crate::net::canary;

/// Removes the table, if it is there: older versions of nft have no other way to say so.
pub(super) fn removal(table: &str) -> String {
    format!("add table inet {table}\ndelete table inet {table}\n")
}

/// The whole script: the table anew, in place of an older one. `server` is where the server can be reached.
pub(super) fn script(sidecar: &Sidecar, server: &Addresses) -> String {
    let mut text = String::from(
        "# The rules of a tlsramp sidecar. `nft -f -` sets all of them at once, in place of the table's older ones, or none.\n",
    );
    text.push_str(&removal(&sidecar.table));
    let _ = writeln!(text, "table inet {} {{", sidecar.table);
    if let Some(inbound) = &sidecar.inbound {
        text.push_str(&match inbound.intercept {
            Intercept::Tproxy(when_down) => tproxy(inbound, when_down, server),
            Intercept::Redirect => redirect(inbound),
        });
        text.push('\n');
    }
    text.push_str(&output(sidecar));
    text.push_str("}\n");
    text
}

/// The table with one chain that leads nothing anywhere, for connections that were redirected to these ports: the kernel
/// translates the packets of open connections for as long as there is a chain of type nat, and rules that need connection
/// tracking.
pub(super) fn remainder(table: &str, ports: &[u16]) -> String {
    let mut text = removal(table);
    let _ = writeln!(
        text,
        "table inet {table} {{\n    chain output {{\n        type nat hook output priority -100; policy accept;"
    );
    for port in ports {
        let _ = writeln!(text, "        ct status dnat tcp dport {port} return comment \"{MARK}{LEFT}\"");
    }
    text.push_str("    }\n}\n");
    text
}

/// The ports that a listing of the table redirects to, or that [`remainder`] was written for.
pub(super) fn redirects(listing: &str) -> Vec<u16> {
    let number = |text: &str| text.split(' ').next()?.parse().ok();
    let port = |line: &str| match line.split_once("redirect to :") {
        Some((_, rest)) => number(rest),
        None if line.contains(LEFT) => number(line.split_once("tcp dport ")?.1),
        None => None,
    };
    let mut ports: Vec<u16> = listing.lines().filter_map(port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn tproxy(Inbound { server_port, port, .. }: &Inbound, when_down: WhenDown, server: &Addresses) -> String {
    let mut text = format!(
        "    # Inbound: a packet from another host for the server's address and port goes to tlsramp's socket. The packet is\n\
         \x20   # not rewritten, so the host's own filter rules see the address and the port that they saw before.\n\
         \x20   chain prerouting {{\n\
         \x20       # The priority of mangle, by its number: after connection tracking, before address translation.\n\
         \x20       type filter hook prerouting priority -150; policy accept;\n\n\
         \x20       # Connections that a redirect has led to tlsramp go on.\n\
         \x20       ct status dnat accept comment \"{MARK}redirected before\"\n"
    );
    let to: Vec<(&str, String)> = [("ip", "ipv4", &server.v4), ("ip6", "ipv6", &server.v6)]
        .into_iter()
        .filter_map(|(family, protocol, local)| {
            let daddr = match local {
                Local::None => return None,
                // A server on the wildcard address is reached by every address of the host.
                Local::All => format!("meta nfproto {protocol} fib daddr type local"),
                Local::These(addresses) => format!("{family} daddr {}", set(addresses)),
            };
            Some((family, format!("iifname != \"lo\" {daddr} tcp dport {server_port}")))
        })
        .collect();
    for (family, to) in &to {
        let _ = writeln!(text, "        {to} tproxy {family} to :{port} accept comment \"{MARK}inbound\"");
    }
    if when_down == WhenDown::Refuse {
        text.push_str(
            "\n        # Without a socket of tlsramp's, the rules above do not match, and connections that are open go on. New ones\n\
             \x20       # would reach the server without tlsramp.\n",
        );
        for (_, to) in &to {
            let _ =
                writeln!(text, "        {to} {FIRST} reject with tcp reset comment \"{MARK}while tlsramp is down\"");
        }
    }
    text.push_str("    }\n");
    text
}

fn redirect(Inbound { server_port, port, .. }: &Inbound) -> String {
    format!(
        "    # Inbound: a connection from another host for the server's port goes to tlsramp's port, on the first address of\n\
         \x20   # the interface that it came in by. This rewrites the packet: the host's own filter rules see tlsramp's port.\n\
         \x20   chain prerouting {{\n\
         \x20       type nat hook prerouting priority dstnat; policy accept;\n\
         \x20       iifname != \"lo\" fib daddr type local {FIRST} tcp dport {server_port} redirect to :{port} \
         comment \"{MARK}inbound\"\n    }}\n"
    )
}

fn output(sidecar: &Sidecar) -> String {
    let (to, canary) = (sidecar.canary_to, canary(sidecar.canary_to));
    let mut text = format!(
        "    # Connections of this host's own processes.\n\
         \x20   chain output {{\n\
         \x20       # The priority of dstnat by its number: older nft knows the name in prerouting only.\n\
         \x20       type nat hook output priority -100; policy accept;\n\n\
         \x20       # The canary: tlsramp dials this address every few seconds, to see that the table is there.\n\
         \x20       ip daddr {} tcp dport {} redirect to :{to} comment \"{MARK}canary\"\n",
        canary.ip(),
        canary.port()
    );
    if let Some(outbound) = &sidecar.outbound {
        text.push_str(&outward(outbound));
    }
    text.push_str("    }\n");
    text
}

fn outward(outbound: &Outbound) -> String {
    let Outbound { port, exempt, exempt_group, .. } = outbound;
    let ports = set(&outbound.member_ports);
    let mut text = format!(
        "\n        # Connections within the host are left alone: by loopback, and by an address of the host's own, as a mongod\n\
         \x20       # dials that looks for itself in the set.\n\
         \x20       ip daddr 127.0.0.0/8 return comment \"{MARK}loopback\"\n\
         \x20       ip6 daddr ::1 return comment \"{MARK}loopback\"\n\
         \x20       fib daddr type local return comment \"{MARK}own addresses\"\n\n\
         \x20       # tlsramp's own connections, told by the primary group of its process: {exempt_group}.\n\
         \x20       meta skgid {exempt} return comment \"{MARK}own connections\"\n\n\
         \x20       # Outbound: to the other members, by tlsramp. First packets alone, by their flags: a kernel that begins to track\n\
         \x20       # connections takes the next packet of an open one for its first, and would break it.\n"
    );
    let of = |family: &str, v4: bool| {
        let networks = outbound.member_addresses.iter().filter(|network| matches!(network, IpNet::V4(_)) == v4);
        let networks: Vec<String> = networks.map(network::shown).collect();
        (!networks.is_empty()).then(|| format!("{family} daddr {} ", set(&networks)))
    };
    let mut to: Vec<String> = [of("ip", true), of("ip6", false)].into_iter().flatten().collect();
    if to.is_empty() {
        to.push(String::new());
    }
    for daddr in to {
        let _ =
            writeln!(text, "        {daddr}{FIRST} tcp dport {ports} redirect to :{port} comment \"{MARK}outbound\"");
    }
    text
}

fn set<T: ToString>(values: &[T]) -> String {
    let values = values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("{{ {values} }}")
}

/// The first packet of a connection by its own flags: SYN alone (RFC 9293, section 3.5).
const FIRST: &str = "tcp flags & (fin | syn | rst | ack) == syn";
/// The comment of a rule that stands for open connections.
const LEFT: &str = "left for open connections";
/// How the comments of our rules begin.
pub(super) const MARK: &str = "tlsramp: ";

#[cfg(test)]
mod tests {
    use super::{redirects, remainder, script};
    use crate::netfilter::settings::{Intercept, WhenDown, tests::sidecar};
    use crate::netfilter::sockets::{Addresses, Local};

    #[test]
    fn rules_name_the_addresses_of_the_server_alone() {
        let one = Addresses { v4: Local::These(vec!["10.0.0.1".parse().unwrap()]), v6: Local::None };
        let mut sidecar = sidecar();
        let text = script(&sidecar, &one);
        assert!(
            text.contains("iifname != \"lo\" ip daddr { 10.0.0.1 } tcp dport 27017 tproxy ip to :27117 accept"),
            "{text}"
        );
        assert!(!text.contains("fib daddr type local tcp") && !text.contains("ip6 to"), "{text}");
        assert_eq!(text.matches("reject with tcp reset").count(), 1, "{text}");
        let text = script(&sidecar, &Addresses::ALL);
        assert_eq!((text.matches("tproxy ip").count(), text.matches("reject with").count()), (2, 2), "{text}");
        sidecar.inbound.as_mut().unwrap().intercept = Intercept::Tproxy(WhenDown::Bypass);
        assert!(!script(&sidecar, &one).contains("reject"), "bypass");
        sidecar.inbound.as_mut().unwrap().intercept = Intercept::Redirect;
        let text = script(&sidecar, &Addresses::ALL);
        assert!(text.contains("tcp dport 27017 redirect to :27117") && !text.contains("tproxy"), "{text}");
    }

    #[test]
    fn ports_of_redirects_are_known_from_the_table() {
        let mut sidecar = sidecar();
        assert_eq!(redirects(&script(&sidecar, &Addresses::ALL)), [27217]);
        sidecar.inbound.as_mut().unwrap().intercept = Intercept::Redirect;
        assert_eq!(redirects(&script(&sidecar, &Addresses::ALL)), [27117, 27217]);
        assert_eq!(redirects(&remainder("tlsramp", &[27117, 27217])), [27117, 27217]);
    }
}
