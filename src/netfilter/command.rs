//! The command line of `tlsramp netfilter`. Values are taken as text, so that all mistakes are reported together.

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, Command};

/// The command line of `tlsramp netfilter`.
#[must_use]
pub fn command() -> Command {
    Command::new("netfilter")
        .about("Print, apply or remove the redirect rules of a sidecar (nftables)")
        .long_about(LONG_ABOUT)
        .after_long_help(AFTER)
        .args([
            value(SERVER_PORT, "PORT").help("The mongod's port, which clients and other members connect to"),
            value(PORT, "PORT").help(
                "Redirect connections from outside: tlsramp's --port, which they are led to [needs --serverPort]",
            ),
            value(OUTBOUND, "PORT").help(
                "Redirect the local mongod's connections to other members: tlsramp's --outboundTransparent, on \
                 127.0.0.1 and ::1 [needs --exemptGroup]",
            ),
            list(MEMBER_PORT, "PORT").help("Ports of other members [default: --serverPort]"),
            list(MEMBER_ADDRESS, "IP|CIDR").help("Only connections to these addresses [default: any other host]"),
            value(EXEMPT_GROUP, "NAME|GID").help(
                "The primary group of tlsramp's own process, and of no mongod: its connections are not redirected",
            ),
            value(TABLE, "NAME").default_value("tlsramp").help("The table's name: one for each sidecar of a host"),
        ])
        .args([
            verb(APPLY, "Set the rules, all at once, in place of the table's older ones"),
            verb(REMOVE, "Remove the table; without one, nothing"),
            verb(CARRY_OVER, "Print the commands that carry the firewall's rules for --serverPort over to --port"),
        ])
}

fn value(name: &'static str, placeholder: &'static str) -> Arg {
    let arg = Arg::new(name).long(name).value_name(placeholder).allow_negative_numbers(true);
    arg.value_parser(NonEmptyStringValueParser::new())
}

fn list(name: &'static str, placeholder: &'static str) -> Arg {
    value(name, placeholder).action(ArgAction::Append)
}

fn verb(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help_heading("Instead of printing the rules").help(help)
}

pub(super) const SERVER_PORT: &str = "serverPort";
pub(super) const PORT: &str = "port";
pub(super) const OUTBOUND: &str = "outboundTransparent";
pub(super) const MEMBER_PORT: &str = "memberPort";
pub(super) const MEMBER_ADDRESS: &str = "memberAddress";
pub(super) const EXEMPT_GROUP: &str = "exemptGroup";
pub(super) const TABLE: &str = "table";
pub(super) const APPLY: &str = "apply";
pub(super) const REMOVE: &str = "remove";
pub(super) const CARRY_OVER: &str = "carry-over";

const LONG_ABOUT: &str = "Print, apply or remove the nftables rules of a sidecar: a tlsramp beside a mongod on one host, \
     which keeps its port, its address and its configuration, and needs no restart.\n\n\
     --serverPort and --port redirect connections from outside: what is for the mongod's port goes to tlsramp's. \
     --outboundTransparent redirects the mongod's connections to other members. Either, or both. Without --apply, \
     --remove or --carry-over the rules are printed, as a script for `nft -f -`, and nothing is changed.\n\n\
     Only new connections are redirected: those that are open go on as they are, around tlsramp, until they are closed. \
     Connections within the host, by loopback or by an address of its own, are not redirected.";

const AFTER: &str = "Where tlsramp has to listen:\n  \
     --port: the kernel leads a redirected connection to the first address of the interface that it came in by, whatever \
     address of the host it was for. tlsramp listens there (and, without an outbound redirect, on 127.0.0.1, where the \
     canary comes to), or on all addresses: --bind_ip 0.0.0.0, or ::,0.0.0.0\n  \
     --outboundTransparent: on 127.0.0.1 and ::1, by itself\n\n\
     A firewall's rules for the mongod's port no longer see it behind the redirect: they see --port. --apply looks for \
     such rules, of nftables and of iptables, and refuses until each has its counterpart. --carry-over prints the \
     commands that add them (a shell script; the rules themselves are never touched by tlsramp). The counterparts are \
     right with the redirect and without: they can stay when it is removed. Rules added by a command are gone after the \
     firewall's next reload: add them to its configuration too.\n\n\
     Exit codes:\n  \
     0  done\n  \
     1  refused or failed, nothing was changed; --carry-over: something is left to be done by hand\n  \
     2  usage\n\n\
     Examples:\n  \
     tlsramp netfilter --serverPort 27017 --port 27117 --outboundTransparent 27217 --exemptGroup tlsramp\n  \
     tlsramp netfilter --serverPort 27017 --port 27117 --carry-over | sh\n  \
     tlsramp netfilter --serverPort 27017 --port 27117 --apply\n  \
     tlsramp netfilter --remove";
