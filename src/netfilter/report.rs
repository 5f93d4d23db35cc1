//! What is said of findings, of what was done, and of what is left to know.

use std::fmt::Write as _;

use super::carry::Remedy;
use super::compare::Unlike;
use super::firewall::{Finding, Note, Problem};
use super::ruleset::Tool;
use super::script::MARK;
use super::settings::{Asked, Sidecar};
use super::sockets::Sockets;
use crate::limits::NETFILTER_FINDINGS_SHOWN;
use crate::text::printable;

/// Why the redirect is not applied: each rule, with what it would do.
pub(super) fn refusal(findings: &[Finding], sidecar: &Sidecar) -> String {
    let mut text = String::from("refused, nothing was changed: of the rules of this host\n");
    for finding in findings.iter().take(NETFILTER_FINDINGS_SHOWN) {
        let _ = writeln!(text, "  {}\n    {}", place(finding), problem(finding, sidecar));
    }
    if let Some(more) = findings.len().checked_sub(NETFILTER_FINDINGS_SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more");
    }
    text.push_str(
        "Run this with --carry-over in place of --apply: it prints, for each, the command that puts it right, or what to \
         do by hand; then --apply again. Who has judged these rules already sets the redirect without being asked: the \
         same command without --apply, into `nft -f -`.",
    );
    text
}

fn place(finding: &Finding) -> String {
    match finding.rule {
        Some(rule) => rule.shown(finding.chain),
        None => {
            let word = match finding.chain.by {
                Tool::Nft => "chain ",
                Tool::Iptables(_) => "",
            };
            format!("{word}{}", finding.chain.shown())
        }
    }
}

fn problem(finding: &Finding, sidecar: &Sidecar) -> String {
    let to = sidecar.canary_to;
    let (server_port, port) = sidecar.inbound.map_or((0, 0), |inbound| (inbound.server_port, inbound.port));
    match finding.problem {
        Problem::Unlike(Unlike::Misses) => {
            format!("is for port {server_port}, and would no longer see what is redirected to {port}")
        }
        Problem::Unlike(Unlike::Catches) => {
            format!("is not for port {server_port}, but would be for what is redirected from there to {port}")
        }
        Problem::Unlike(Unlike::Differs) => format!("does something else with port {port} than with {server_port}"),
        Problem::Unlike(Unlike::Unclear) => {
            format!(
                "looks at the port in a way that cannot be judged here: it must do the same with {server_port} and {port}"
            )
        }
        Problem::Elsewhere => format!("redirects port {server_port} already"),
        Problem::OtherSidecar => {
            "is of a sidecar in another --exemptGroup: each would redirect the other's connections, \
             round and round"
                .into()
        }
        Problem::DropsRedirected => format!(
            "drops what the output chain redirects to port {to} of this host: nothing in it lets that pass{}",
            match finding.chain.base.as_ref().map(|base| base.hook.as_str()) {
                Some("output") => " (in the output hook it still has the interface by which it would have left)",
                Some(_) | None => "",
            }
        ),
    }
}

/// A shell script of what is to be done.
pub(super) fn carry_over(remedies: &[(&Finding, Remedy)], sidecar: &Sidecar) -> String {
    if remedies.is_empty() {
        return "# No rule of this host has to be carried over.\n".into();
    }
    let mut text = String::from(
        "# What makes the rules of this host treat a redirected connection as they treat it now. To be added to the\n\
         # firewall's own configuration too: its next reload forgets these commands.\n",
    );
    for (finding, remedy) in remedies {
        let _ = write!(text, "\n# {}\n#   {}\n", place(finding), problem(finding, sidecar));
        match remedy {
            Remedy::Commands(commands) => commands.iter().for_each(|command| text.push_str(&format!("{command}\n"))),
            Remedy::ByHand(what) => text.push_str(&format!("# BY HAND: {what}\n")),
        }
    }
    text
}

/// What was set.
pub(super) fn applied(sidecar: &Sidecar, notes: &[Note], sockets: Option<&Sockets>) -> String {
    let mut text = format!("applied: table inet {}\n", sidecar.table);
    if let Some(inbound) = sidecar.inbound {
        let (server_port, port) = (inbound.server_port, inbound.port);
        let _ = writeln!(text, "  inbound: connections from other hosts to port {server_port} go to port {port}");
    }
    if let Some(outbound) = &sidecar.outbound {
        let ports = outbound.member_ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (port, group) = (outbound.port, printable(&outbound.exempt_group));
        let to = match outbound.member_addresses.as_slice() {
            [] => String::new(),
            networks => format!(" of {}", networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        };
        let _ =
            writeln!(text, "  outbound: connections to port {ports}{to} go to port {port}; not those of group {group}");
    }
    text.push_str(
        "  the rules are gone after a restart of the host, and after a firewall's reload that clears all tables\n",
    );
    notes.iter().for_each(|note| text.push_str(&format!("  note: {}\n", self::note(note))));
    for port in sockets.iter().flat_map(|sockets| &sockets.deaf) {
        let _ = writeln!(text, "  WARNING: {}", nobody_listens(*port, sidecar));
    }
    text.push_str(&age(sidecar, sockets.map(|sockets| sockets.older)));
    text
}

fn nobody_listens(port: u16, sidecar: &Sidecar) -> String {
    let inbound = sidecar.inbound.is_some_and(|inbound| inbound.port == port);
    let (what, whom, option) = if inbound {
        ("other hosts", "", "--port and --bind_ip")
    } else {
        ("this host", " of 127.0.0.1", "--outboundTransparent")
    };
    format!(
        "nobody listens on port {port}{whom} for {what}: what is redirected is refused until tlsramp does ({option} there)"
    )
}

fn age(sidecar: &Sidecar, older: Option<usize>) -> String {
    let mut text = String::new();
    if let Some(inbound) = sidecar.inbound {
        let port = inbound.server_port;
        text.push_str(&match older {
            Some(0) => format!("no connection of another host to port {port} is older than the redirect\n"),
            Some(1) => format!(
                "1 connection of another host to port {port} is older than the redirect: it goes around tlsramp until it is closed\n"
            ),
            Some(count) => format!(
                "{count} connections of other hosts to port {port} are older than the redirect: they go around tlsramp until they are closed\n"
            ),
            None => format!("how many connections to port {port} are older than the redirect could not be found out\n"),
        });
    }
    if sidecar.outbound.is_some() {
        text.push_str(
            "connections that the mongod made to other members before go on as they are until they are closed\n",
        );
    }
    text
}

fn note(note: &Note) -> String {
    match note {
        Note::Address(rule) => format!(
            "{rule}: looks at the destination address, which behind the redirect is the first one of the interface"
        ),
        Note::Owner(rule) => format!("{rule}: looks at whose connection it is; to other members, it is tlsramp's now"),
    }
}

/// Why a table is not touched.
pub(super) fn foreign(table: &str, chain: &str, asked: &Asked) -> String {
    let done = match asked {
        Asked::Remove(_) => "removed",
        Asked::Apply(_) | Asked::Print(_) | Asked::CarryOver(_) => "replaced",
    };
    format!(
        "refused, nothing was changed: the table inet {table} is not tlsramp's: in its chain or set {} there is more than \
         rules with the comment `{}...`, so it is not {done}; give --table another name",
        printable(chain),
        MARK
    )
}
