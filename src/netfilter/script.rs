//! Generates the rules as a script that nft loads in one transaction. Every rule has a comment by which a table is
//! recognised as tlsramp's before it is replaced or removed.

use std::fmt::Write as _;

use ipnet::IpNet;

use super::addresses::{Addresses, Local};
use super::network;
use super::settings::{InboundRules, Intercept, OutboundRules, Sidecar, WhenDown};

use crate::net::canary;

/// Returns commands that remove the table if it exists. Older versions of nft have no `destroy`, so the table is added
/// first.
pub(super) fn removal(table: &str) -> String {
    format!("add table inet {table}\ndelete table inet {table}\n")
}

/// Returns the complete script, which replaces the table. `server` holds the addresses at which other hosts reach the
/// server.
pub(super) fn script(sidecar: &Sidecar, server: &Addresses) -> String {
    let mut text = String::from(
        "# Rules of a tlsramp sidecar. `nft -f -` applies all of them at once, replacing the table, or none.\n",
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

/// A port of tlsramp to which connections were redirected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RedirectedPort {
    pub(super) port: u16,
    /// Whether the redirected connections were made by this host.
    pub(super) outbound: bool,
}

/// Returns a script for a table that does not affect new connections and keeps open connections to these ports alive.
/// The kernel translates the packets of redirected connections only while a chain of type nat exists, with rules that
/// need connection tracking.
pub(super) fn remainder(table: &str, ports: &[RedirectedPort]) -> String {
    let mut text = removal(table);
    let _ = writeln!(
        text,
        "table inet {table} {{\n    chain output {{\n        type nat hook output priority -100; policy accept;"
    );
    for RedirectedPort { port, outbound } in ports {
        let direction = if *outbound { OUTBOUND } else { INBOUND };
        let _ = writeln!(text, "        ct status dnat tcp dport {port} return comment \"{MARK}{direction}{LEFT}\"");
    }
    text.push_str("    }\n}\n");
    text
}

/// Returns the ports to which the rules in a listing redirect connections, or for which [`remainder`] was written.
/// Ports of TPROXY rules are included, because redirect rules may have been in force before.
pub(super) fn redirected(listing: &str) -> Vec<RedirectedPort> {
    let found = |line: &str| {
        let after = if line.contains(LEFT) { "tcp dport " } else { " to :" };
        let outbound = line.contains(&format!("\"{MARK}{OUTBOUND}"));
        let ours = outbound || line.contains(&format!("\"{MARK}{INBOUND}"));
        let port = line.split_once(after)?.1.split(' ').next()?.parse().ok()?;
        ours.then_some(RedirectedPort { port, outbound })
    };
    let mut ports: Vec<RedirectedPort> = listing.lines().filter_map(found).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn tproxy(inbound: &InboundRules, when_down: WhenDown, server: &Addresses) -> String {
    let InboundRules { server_port, port, server_addresses, .. } = inbound;
    let mut text = String::from(
        "    # Inbound: packets from other hosts to the server's address and port are delivered to tlsramp's socket. They are\n\
         \x20   # not rewritten, so the host's own filter rules see the same address and port as before.\n\
         \x20   chain prerouting {\n\
         \x20       # After dstnat (-100): connections that the host itself redirects to the server's port are intercepted too.\n\
         \x20       type filter hook prerouting priority -90; policy accept;\n\n",
    );
    let families = [("ip", "ipv4", &server.v4), ("ip6", "ipv6", &server.v6)];
    let daddr = |family: &str, local: &Local| match local {
        Local::None => None,
        // A server that listens on the wildcard address is reached at every address of the host.
        Local::All => Some("fib daddr type local".to_owned()),
        Local::These(addresses) => Some(format!("{family} daddr {}", set(addresses))),
    };
    let to: Vec<(&str, String)> = families
        .into_iter()
        .filter_map(|(family, protocol, local)| {
            Some((family, format!("meta nfproto {protocol} {}", daddr(family, local)?)))
        })
        .collect();
    for (family, to) in &to {
        let _ = writeln!(
            text,
            "        iifname != \"lo\" {to} tcp dport {server_port} tproxy {family} to :{port} comment \"{MARK}{INBOUND}\""
        );
    }
    text.push_str("    }\n");
    if when_down == WhenDown::Refuse {
        // The server may start to listen on other addresses before the rules are updated, so every address is covered
        // unless `--serverAddress` was given.
        let to = if server_addresses.is_empty() { vec![("", String::new())] } else { to };
        text.push_str(&refuse(&to, *server_port));
    }
    text
}

/// Returns the chain that rejects new connections if no socket of tlsramp accepts them. The chain runs after the host's
/// own rules.
fn refuse(to: &[(&str, String)], server_port: u16) -> String {
    let mut text = String::from(
        "\n    # While tlsramp does not listen, the rules above do not match: open connections continue, and new ones would\n\
         \x20   # reach the server directly. The host's own filter rules have already been applied here.\n\
         \x20   chain input {\n\
         \x20       type filter hook input priority 300; policy accept;\n\n\
         \x20       # \"socket mark 0\" matches a listener of tlsramp, but no socket in TIME_WAIT: for a new SYN to one, the\n\
         \x20       # kernel would look for a listener again, and find the server's.\n",
    );
    for (_, to) in to {
        let first = format!("iifname != \"lo\" {to} tcp dport {server_port} {FIRST}").replace("  ", " ");
        let _ = writeln!(
            text,
            "        {first} socket transparent 1 socket mark 0 accept comment \"{MARK}taken by tlsramp\"\n        \
             {first} reject with tcp reset comment \"{MARK}while tlsramp is down\""
        );
    }
    text.push_str("    }\n");
    text
}

fn redirect(InboundRules { server_port, port, .. }: &InboundRules) -> String {
    format!(
        "    # Inbound: connections from other hosts to the server's port are redirected to tlsramp's port, on the first\n\
         \x20   # address of the incoming interface. This rewrites packets: the host's own filter rules see tlsramp's port.\n\
         \x20   chain prerouting {{\n\
         \x20       type nat hook prerouting priority dstnat; policy accept;\n\
         \x20       iifname != \"lo\" fib daddr type local {FIRST} tcp dport {server_port} redirect to :{port} \
         comment \"{MARK}{INBOUND}\"\n    }}\n"
    )
}

fn output(sidecar: &Sidecar) -> String {
    let (to, canary) = (sidecar.canary_to, canary(sidecar.canary_to));
    let mut text = format!(
        "    # Connections of this host's own processes.\n\
         \x20   chain output {{\n\
         \x20       # -100 is the priority dstnat: older nft accepts that name in prerouting only.\n\
         \x20       type nat hook output priority -100; policy accept;\n\n\
         \x20       # The canary: tlsramp dials this address every few seconds, to check that the table exists.\n\
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

fn outward(outbound: &OutboundRules) -> String {
    let OutboundRules { port, exempt, exempt_group, .. } = outbound;
    let ports = set(&outbound.member_ports);
    let mut text = format!(
        "\n        # Connections within the host are not redirected: loopback, and the host's own addresses, to which a mongod\n\
         \x20       # connects to find itself in the set.\n\
         \x20       ip daddr 127.0.0.0/8 return comment \"{MARK}loopback\"\n\
         \x20       ip6 daddr ::1 return comment \"{MARK}loopback\"\n\
         \x20       fib daddr type local return comment \"{MARK}own addresses\"\n\n\
         \x20       # tlsramp's own connections, recognized by the primary group of its process: {exempt_group}.\n\
         \x20       meta skgid {exempt} return comment \"{MARK}own connections\"\n\n\
         \x20       # Outbound: connections to other members. Only first packets match, by their flags: a kernel that starts to\n\
         \x20       # track connections takes the next packet of an open connection for its first, and would break it.\n"
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
            writeln!(text, "        {daddr}{FIRST} tcp dport {ports} redirect to :{port} comment \"{MARK}{OUTBOUND}\"");
    }
    text
}

fn set<T: ToString>(values: &[T]) -> String {
    let values = values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("{{ {values} }}")
}

/// Matches the first packet of a connection by its TCP flags: SYN alone (RFC 9293, section 3.5).
const FIRST: &str = "tcp flags & (fin | syn | rst | ack) == syn";
const INBOUND: &str = "inbound";
const OUTBOUND: &str = "outbound";
/// The suffix of the comments in the rules of [`remainder`].
const LEFT: &str = ", left for open connections";
/// The prefix of the comments in tlsramp's rules.
pub(super) const MARK: &str = "tlsramp: ";

#[cfg(test)]
mod tests {
    use super::{RedirectedPort, redirected, remainder, script};
    use crate::netfilter::addresses::{Addresses, Local};
    use crate::netfilter::settings::{Intercept, WhenDown, tests::sidecar};

    #[test]
    fn rules_name_the_addresses_of_the_server_alone() {
        let one = Addresses { v4: Local::These(vec!["10.0.0.1".parse().unwrap()]), v6: Local::None };
        let mut sidecar = sidecar();
        let text = script(&sidecar, &one);
        let rule =
            "iifname != \"lo\" meta nfproto ipv4 ip daddr { 10.0.0.1 } tcp dport 27017 tproxy ip to :27117 comment";
        assert!(text.contains(rule), "{text}");
        assert!(!text.contains("fib daddr type local tcp") && !text.contains("ip6 to"), "{text}");
        assert!(
            text.contains("iifname != \"lo\" tcp dport 27017 tcp flags & (fin | syn | rst | ack) == syn reject"),
            "{text}"
        );
        let text = script(&sidecar, &Addresses::ALL);
        assert_eq!((text.matches("tproxy ip").count(), text.matches("reject with").count()), (2, 1), "{text}");
        sidecar.inbound.as_mut().unwrap().server_addresses = vec!["10.0.0.1".parse().unwrap()];
        let text = script(&sidecar, &one);
        assert!(
            text.contains("ip daddr { 10.0.0.1 } tcp dport 27017 tcp flags & (fin | syn | rst | ack) == syn reject"),
            "{text}"
        );
        sidecar.inbound.as_mut().unwrap().intercept = Intercept::Tproxy(WhenDown::Bypass);
        assert!(!script(&sidecar, &one).contains("reject"), "bypass");
        sidecar.inbound.as_mut().unwrap().intercept = Intercept::Redirect;
        let text = script(&sidecar, &Addresses::ALL);
        assert!(text.contains("tcp dport 27017 redirect to :27117") && !text.contains("tproxy"), "{text}");
    }

    #[test]
    fn ports_of_redirects_are_known_from_the_table() {
        let both = [RedirectedPort { port: 27117, outbound: false }, RedirectedPort { port: 27217, outbound: true }];
        let mut sidecar = sidecar();
        assert_eq!(redirected(&script(&sidecar, &Addresses::ALL)), both);
        sidecar.inbound.as_mut().unwrap().intercept = Intercept::Redirect;
        assert_eq!(redirected(&script(&sidecar, &Addresses::ALL)), both);
        assert_eq!(redirected(&remainder("tlsramp", &both)), both);
        sidecar.outbound = None;
        assert_eq!(redirected(&script(&sidecar, &Addresses::ALL)), both[..1], "the canary's is none");
    }
}
