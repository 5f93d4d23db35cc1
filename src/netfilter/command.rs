//! The command line of `tlsramp netfilter`. Values are parsed as text and validated later, so that all mistakes are
//! reported together.

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, Command};

/// The command line of `tlsramp netfilter`.
pub fn command() -> Command {
    Command::new("netfilter")
        .about("Print, apply, keep or remove the interception rules of a sidecar (nftables)")
        .long_about(LONG_ABOUT)
        .after_long_help(AFTER)
        .args([
            value(SERVER_PORT, "PORT").help("The mongod's port, which clients and other members connect to"),
            value(PORT, "PORT").help(
                "Intercept connections from other hosts: tlsramp's --port, with --inboundTransparent [needs --serverPort]",
            ),
            list(SERVER_ADDRESS, "IP").help(
                "The mongod's addresses; 0.0.0.0 and :: for all of the host [default: those that it listens on]",
            ),
            value(WHEN_DOWN, "refuse|bypass").help(
                "New connections while tlsramp does not listen: refuse them, or let them reach the mongod [default: \
                 refuse]",
            ),
            flag(REDIRECT).help(
                "Rewrite the port instead of using TPROXY, for pods and old kernels; tlsramp then runs without \
                 --inboundTransparent",
            ),
            flag(ACKNOWLEDGE).help("With --redirect: confirms that the host's rules treat both ports alike"),
            value(OUTBOUND, "PORT").help(
                "Redirect the local mongod's connections to other members: tlsramp's --outboundTransparent, on \
                 127.0.0.1 and ::1 [needs --exemptGroup]",
            ),
            list(MEMBER_PORT, "PORT").help("Ports of other members [default: --serverPort]"),
            list(MEMBER_ADDRESS, "IP|CIDR").help("Only connections to these addresses [default: any other host]"),
            value(EXEMPT_GROUP, "NAME|GID").help(
                "The primary group of the tlsramp process: its connections are not redirected, so no mongod may run in \
                 this group",
            ),
            value(TABLE, "NAME").default_value("tlsramp").help("The table's name: one for each sidecar of a host"),
        ])
        .args([
            verb(APPLY, "Apply the rules in one transaction, replacing the table"),
            verb(KEEP, "Like --apply, and keep running: apply the rules again whenever they are removed or changed, \
                until SIGTERM or --remove"),
            verb(SHOW, "Show the table in force; exit code 1 if there is none"),
            verb(REMOVE, "End a --keep, if one is running, and remove the table"),
        ])
}

fn value(name: &'static str, placeholder: &'static str) -> Arg {
    let arg = Arg::new(name).long(name).value_name(placeholder).allow_negative_numbers(true);
    arg.value_parser(NonEmptyStringValueParser::new())
}

fn list(name: &'static str, placeholder: &'static str) -> Arg {
    value(name, placeholder).action(ArgAction::Append)
}

fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

fn verb(name: &'static str, help: &'static str) -> Arg {
    flag(name).help_heading("Instead of printing the rules").help(help)
}

pub(super) const SERVER_PORT: &str = "serverPort";
pub(super) const PORT: &str = "port";
pub(super) const SERVER_ADDRESS: &str = "serverAddress";
pub(super) const WHEN_DOWN: &str = "whenDown";
pub(super) const REDIRECT: &str = "redirect";
pub(super) const ACKNOWLEDGE: &str = "acknowledgeFirewall";
pub(super) const OUTBOUND: &str = "outboundTransparent";
pub(super) const MEMBER_PORT: &str = "memberPort";
pub(super) const MEMBER_ADDRESS: &str = "memberAddress";
pub(super) const EXEMPT_GROUP: &str = "exemptGroup";
pub(super) const TABLE: &str = "table";
pub(super) const APPLY: &str = "apply";
pub(super) const KEEP: &str = "keep";
pub(super) const SHOW: &str = "show";
pub(super) const REMOVE: &str = "remove";

const LONG_ABOUT: &str = "Print, apply, keep or remove the interception rules (nftables) of a sidecar, a tlsramp beside a mongod \
     on the same host. The mongod keeps its port, address and configuration, and is not restarted.\n\n\
     --serverPort and --port intercept connections from other hosts (TPROXY): tlsramp accepts connections to the \
     mongod's address and port. --outboundTransparent redirects the mongod's connections to other members. Give either \
     or both. Without --apply, --keep, --show or --remove, the rules are printed as a script for `nft -f -`, and nothing \
     is changed.\n\n\
     Only new connections are intercepted: open connections continue without tlsramp until they are closed. Connections \
     within the host (loopback, or the host's own addresses) are not intercepted. The host's filter rules still apply: \
     TPROXY changes neither address nor port, and only tlsramp's own table is changed.";

const AFTER: &str = "Where tlsramp must listen:\n  \
     --port: on all addresses (--bind_ip 0.0.0.0, or ::,0.0.0.0) with --inboundTransparent, or without it if --redirect is given\n  \
     --outboundTransparent: on 127.0.0.1 and ::1, by itself\n\n\
     --redirect rewrites the destination port before filter rules see it: a rule for the mongod's port no longer matches. \
     --apply then lists the rules of the host that name one of the two ports, and refuses until --acknowledgeFirewall.\n\n\
     Exit codes:\n  \
     0  done\n  \
     1  refused or failed: nothing was changed but what the error names; --show: there is no such table\n  \
     2  usage\n\n\
     Examples:\n  \
     tlsramp netfilter --serverPort 27017 --port 27117 --outboundTransparent 27217 --exemptGroup tlsramp\n  \
     tlsramp netfilter --serverPort 27017 --port 27117 --apply\n  \
     tlsramp netfilter --show\n  \
     tlsramp netfilter --remove";
