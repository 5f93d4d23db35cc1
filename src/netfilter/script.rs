//! The rules, as a script for nft that sets them all at once. Every rule carries a comment of ours, by which the table is
//! known to be ours when it is replaced or removed.

use std::fmt::Write as _;

use super::network::Network;
use super::settings::{Inbound, Outbound, Sidecar};
use crate::net::canary;

/// Removes the table, if it is there: nft has no other way of saying so that older versions know.
pub(super) fn removal(table: &str) -> String {
    format!("add table inet {table}\ndelete table inet {table}\n")
}

/// The whole script: the table anew, in place of an older one.
pub(super) fn script(sidecar: &Sidecar) -> String {
    let mut text = String::from(
        "# The redirects of a tlsramp sidecar. `nft -f -` sets them all at once, in place of the table's older ones, or\n\
         # none. They are nat chains, for the first packets of connections alone. Which those are the rules ask for\n\
         # themselves: a kernel that has tracked nothing yet takes an open connection's next packet for one, and breaks it.\n",
    );
    text.push_str(&removal(&sidecar.table));
    let _ = writeln!(text, "table inet {} {{", sidecar.table);
    if let Some(inbound) = &sidecar.inbound {
        text.push_str(&prerouting(inbound));
        text.push('\n');
    }
    text.push_str(&output(sidecar));
    text.push_str("}\n");
    text
}

fn prerouting(Inbound { server_port, port }: &Inbound) -> String {
    format!(
        "    # Inbound: what comes from outside for the mongod's port goes to tlsramp's. The kernel leads it to the first\n\
         \x20   # address of the interface that it came in by, so tlsramp listens there, or on all addresses.\n\
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
         \x20       # dstnat by its number: older nft knows the name in prerouting only.\n\
         \x20       type nat hook output priority -100; policy accept;\n\n\
         \x20       # The canary: tlsramp dials this address every few seconds, to see that the table is still there.\n\
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
        "\n        # Within the host nothing is redirected: not by loopback, nor by an address of the host's own, as a\n\
         \x20       # mongod dials that looks for itself in the set.\n\
         \x20       ip daddr 127.0.0.0/8 return comment \"{MARK}loopback\"\n\
         \x20       ip6 daddr ::1 return comment \"{MARK}loopback\"\n\
         \x20       fib daddr type local return comment \"{MARK}own addresses\"\n\n\
         \x20       # tlsramp's own connections, told by the primary group of its process: {exempt_group}.\n\
         \x20       meta skgid {exempt} return comment \"{MARK}own connections\"\n\n\
         \x20       # Outbound: to the other members, by tlsramp.\n"
    );
    let (four, six): (Vec<Network>, Vec<Network>) =
        outbound.member_addresses.iter().partition(|network| network.is_ipv4());
    let narrowed = [("ip", four), ("ip6", six)].into_iter().filter(|(_, networks)| !networks.is_empty());
    let mut to: Vec<String> =
        narrowed.map(|(family, networks)| format!("{family} daddr {} ", set(&networks))).collect();
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
/// How the comments of our rules begin.
pub(super) const MARK: &str = "tlsramp: ";
