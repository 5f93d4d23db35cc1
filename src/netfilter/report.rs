//! The texts that the commands print. PURE.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::addresses::{Addresses, Local};
use super::network;
use super::script::MARK;
use super::settings::{InboundRules, Intercept, OutboundRules, Sidecar, WhenDown};
use super::sockets::{InterceptedTraffic, ListenerProblem, UnreachedPort};
use crate::limits::{NETFILTER_MENTIONS_SHOWN, NETFILTER_OLDER_SHOWN};
use crate::text::printable;

/// Describes the rules that were applied.
pub(super) fn applied(sidecar: &Sidecar, server: &Addresses) -> String {
    let mut text = format!("applied: table inet {}\n", sidecar.table);
    if let Some(inbound) = &sidecar.inbound {
        let InboundRules { server_port, port, .. } = inbound;
        let (how, where_to) = match inbound.intercept {
            Intercept::Tproxy(_) => ("TPROXY", server_text(server)),
            Intercept::Redirect => ("redirect", "every address of this host".to_owned()),
        };
        let _ = writeln!(
            text,
            "  inbound: connections from other hosts to port {server_port} of {where_to} go to port {port} ({how})"
        );
        let when_down = match inbound.intercept {
            Intercept::Tproxy(WhenDown::Bypass) => {
                "they reach the server without tlsramp, in plaintext (--whenDown bypass)"
            }
            Intercept::Tproxy(WhenDown::Refuse) | Intercept::Redirect => "they are refused",
        };
        let _ = writeln!(text, "  while tlsramp does not listen, {when_down}");
    }
    if let Some(outbound) = &sidecar.outbound {
        let OutboundRules { port, member_addresses, .. } = outbound;
        let ports = outbound.member_ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let group = printable(&outbound.exempt_group);
        let to = match member_addresses.as_slice() {
            [] => String::new(),
            networks => format!(" of {}", networks.iter().map(network::shown).collect::<Vec<_>>().join(", ")),
        };
        let _ = writeln!(
            text,
            "  outbound: connections to port {ports}{to} go to port {port}, except those of group {group}"
        );
    }
    text
}

fn server_text(server: &Addresses) -> String {
    let words = |local: &Local, all: &str| match local {
        Local::None => Vec::new(),
        Local::All => vec![format!("every {all} address of this host")],
        Local::These(addresses) => addresses.iter().map(IpAddr::to_string).collect(),
    };
    let all = [words(&server.v4, "IPv4"), words(&server.v6, "IPv6")].concat();
    if all.is_empty() { "no address, since the server listens on loopback only,".to_owned() } else { all.join(", ") }
}

/// Returns the warning about a port that intercepted connections would not reach.
pub(super) fn unreached(UnreachedPort { port, traffic, problem }: UnreachedPort, sidecar: &Sidecar) -> String {
    let redirect = sidecar.inbound.as_ref().is_some_and(|inbound| inbound.intercept == Intercept::Redirect);
    let (whose, bind) = match traffic {
        InterceptedTraffic::V4 => (" for other hosts by IPv4", "--bind_ip 0.0.0.0"),
        InterceptedTraffic::V6 => (" for other hosts by IPv6", "--bind_ip ::,0.0.0.0"),
        InterceptedTraffic::Either => (" for other hosts", "--bind_ip"),
        InterceptedTraffic::Outbound => (" of 127.0.0.1", "--outboundTransparent"),
    };
    let transparent = if redirect || traffic == InterceptedTraffic::Outbound { "" } else { " --inboundTransparent" };
    match problem {
        ListenerProblem::Missing => {
            format!("nothing listens on port {port}{whose}: start tlsramp with {bind}{transparent}")
        }
        ListenerProblem::NotWildcard => format!(
            "on port {port}{whose}, tlsramp listens on single addresses, but TPROXY delivers connections to the first \
             address of the interface: start tlsramp with {bind}{transparent}"
        ),
        ListenerProblem::NotTransparent => format!(
            "the listener on port {port}{whose} is not transparent, so TPROXY does not deliver connections to it: \
             start tlsramp with --inboundTransparent, or give --redirect"
        ),
    }
}

/// Returns the warning that the server listens on addresses that `--serverAddress` does not name.
pub(super) fn uncovered(found: &Addresses, InboundRules { server_port, .. }: &InboundRules) -> String {
    format!(
        "the server also listens on port {server_port} at {}: connections to addresses that --serverAddress omits are \
         not intercepted; add them, or omit --serverAddress",
        server_text(found)
    )
}

/// Describes the result of a removal. `open` is the number of open connections for which a remaining table is kept.
pub(super) fn removed(table: &str, open: usize) -> String {
    if open == 0 {
        return format!(
            "removed: table inet {table}; connections already intercepted continue through tlsramp until they are \
             closed\n"
        );
    }
    let (connections, are) = if open == 1 { ("connection", "is") } else { ("connections", "are") };
    format!(
        "removed: the rules of table inet {table}; new connections are not intercepted\n\
         {open} redirected {connections} {are} still open. The table remains without effect, because the kernel would cut \
         them off if no chain of type nat existed. Run this again when they are closed, or cut them off with: \
         nft delete table inet {table}\n"
    )
}

/// Describes the connections that are older than the rules, and so are not intercepted.
pub(super) fn older(sidecar: &Sidecar, peers: Result<&[SocketAddr], String>) -> String {
    let mut text = String::new();
    if let Some(InboundRules { server_port, .. }) = &sidecar.inbound {
        match peers {
            Ok([]) => {
                let _ = writeln!(text, "no connection of another host to port {server_port} is older than the rules");
            }
            Ok(peers) => {
                let (count, are) = if peers.len() == 1 {
                    ("1 connection".to_owned(), "is")
                } else {
                    (format!("{} connections", peers.len()), "are")
                };
                let _ = writeln!(
                    text,
                    "{count} of other hosts to port {server_port} {are} older than the rules and not intercepted until \
                     they are closed:"
                );
                for peer in peers.iter().take(NETFILTER_OLDER_SHOWN) {
                    let _ = writeln!(text, "  {peer}");
                }
                if let Some(more) = peers.len().checked_sub(NETFILTER_OLDER_SHOWN).filter(|more| *more > 0) {
                    let _ = writeln!(text, "  and {more} more");
                }
                let each = peers.iter().map(SocketAddr::ip).collect::<std::collections::BTreeSet<_>>();
                for ip in each.iter().take(NETFILTER_OLDER_SHOWN) {
                    let _ =
                        writeln!(text, "as root, ss -K sport = :{server_port} and dst {ip}   # ends those from {ip}");
                }
            }
            Err(why) => {
                let _ = writeln!(
                    text,
                    "cannot list connections to port {server_port} that are older than the rules: {why}"
                );
            }
        }
    }
    if sidecar.outbound.is_some() {
        text.push_str(
            "connections that the mongod has already made to other members are not redirected until they are closed\n",
        );
    }
    text
}

/// Returns the error that refuses `--redirect` because rules of the host name one of the ports.
pub(super) fn mentioned(mentions: &[String], InboundRules { server_port, port, .. }: &InboundRules) -> String {
    let mut text = format!(
        "refused, nothing was changed: --redirect rewrites port {server_port} to {port} before filter rules see it, and these \
         rules name one of the two:\n"
    );
    for mention in mentions.iter().take(NETFILTER_MENTIONS_SHOWN) {
        let _ = writeln!(text, "  {}", printable(mention));
    }
    if let Some(more) = mentions.len().checked_sub(NETFILTER_MENTIONS_SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more");
    }
    let _ = write!(
        text,
        "Make them treat {port} like {server_port}, then give --acknowledgeFirewall; or omit --redirect: TPROXY does \
         not rewrite the port."
    );
    text
}

/// Returns the error that refuses to change a table that is not tlsramp's.
pub(super) fn foreign(table: &str, line: &str) -> String {
    format!(
        "refused, nothing was changed: the table inet {table} is not tlsramp's: it contains `{}` without a comment \
         `{MARK}...`; give --table another name",
        printable(line)
    )
}
