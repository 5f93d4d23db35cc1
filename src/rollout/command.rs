//! The command line of `tlsramp rollout`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, Command, value_parser};

use super::limits;
use super::node::mode;
use crate::admin_client::{AdminAddress, with_tls_options};
use crate::limits::RECYCLE_GRACE_MOST;
use crate::telemetry::ClientIdentity;

/// The command line of `tlsramp rollout`.
pub fn command() -> Command {
    let node = Arg::new(NODE).long(NODE).value_name("ADMIN_ADDR").required(true).action(ArgAction::Append);
    let to = Arg::new(TO).long(TO).value_name("MODE").value_parser(mode).required_unless_present(ROLLBACK);
    let public = Arg::new(PUBLIC).long(PUBLIC).value_name("ADMIN_ADDR=HOST:PORT|none").action(ArgAction::Append);
    let wait = Arg::new(WAIT).long(WAIT).value_name("TIME");
    let wait = wait.value_parser(|text: &str| crate::config::time(text, std::time::Duration::ZERO));
    let accept = Arg::new(ACCEPT).long(ACCEPT).value_name("KEY").value_parser(key).action(ArgAction::Append);
    let grace = Arg::new(GRACE)
        .long(GRACE)
        .value_name("SECONDS")
        .value_parser(value_parser!(u64).range(0..=RECYCLE_GRACE_MOST.as_secs()));
    let log = Arg::new(LOG).long(LOG).value_name("FILE|none").default_value(LOG_DEFAULT);
    let command = Command::new("rollout")
        .about("Change the mode of many nodes, one step at a time: the rolling upgrade, or the way back")
        .long_about(LONG_ABOUT)
        .after_long_help(EXIT_CODES)
        .arg_required_else_help(true);
    with_tls_options(command).args([
        to.help("The target mode, in either spelling: disabled, allowSSL, preferSSL, requireSSL"),
        node.value_parser(value_parser!(AdminAddress))
            .help("Admin port of a node, HOST:PORT or unix:PATH; repeat the option for every node"),
        public
            .value_parser(NonEmptyStringValueParser::new())
            .help("Address at which the node is checked from outside; none: no check [default: its name in the set]"),
        wait.help(format!(
            "Maximum time of each wait for clients and for old connections; 0: do not wait [default: {}m]",
            limits::WAIT.as_secs() / 60
        )),
        accept.conflicts_with(ROLLBACK).help(
            "Accept on every node that requireSSL will refuse this client (IP/APPLICATION/DRIVER, as printed by \
             `ctl clients --wide`); repeatable",
        ),
        grace.help(
            "Cut old connections that remain after this many seconds (0 to 86400), even within a message; their clients \
             may see an error [default: never]",
        ),
        log.value_parser(NonEmptyStringValueParser::new())
            .help("File to which the log of the rollout is appended; none: no log"),
        switch(DRY_RUN).help("Print the steps and everything that would stop or delay them; change nothing"),
        switch(AUTO_ROLLBACK)
            .conflicts_with(ROLLBACK)
            .help("If a node fails, take every node back to the mode that it had before the rollout"),
        switch(ROLLBACK).help(
            "Take every node back to the mode that it had before the rollout, according to the log, or down to --to",
        ),
        switch(FORCE).help(
            "With --rollback, continue although a live member is not listed as --node, and refuse TLS clients in \
             disabled instead of waiting for them",
        ),
    ])
}

/// The key of a client, validated and returned unchanged.
fn key(text: &str) -> Result<String, String> {
    ClientIdentity::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn switch(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

pub(super) const NODE: &str = "node";
pub(super) const TO: &str = "to";
pub(super) const PUBLIC: &str = "public";
pub(super) const WAIT: &str = "wait";
pub(super) const ACCEPT: &str = "accept";
pub(super) const GRACE: &str = "grace";
pub(super) const LOG: &str = "log";
pub(super) const DRY_RUN: &str = "dry-run";
pub(super) const AUTO_ROLLBACK: &str = "autoRollback";
pub(super) const ROLLBACK: &str = "rollback";
pub(super) const FORCE: &str = "force";
/// The value of --log and --public that means none.
pub(super) const NONE: &str = "none";
const LOG_DEFAULT: &str = "tlsramp-rollout.log";

const LONG_ABOUT: &str = "MongoDB's \"Upgrade a Cluster to Use SSL\" as one command: all nodes, one step at a time. No \
     node takes a step before all have taken the previous one; secondaries go first, then proxies beside applications, \
     then the primary, which is never stepped down. Before the first step, every node is given the names of all \
     members. Before each step, all nodes must be healthy, and the node must have no client or link that the new mode \
     would cut off; after it, the node is checked from outside, and every node must still reach every server. Before \
     requireSSL, it waits for clients and old connections, and names them.\n\n\
     List the tlsramp of every mongod and mongos, hidden members and all shards included, and those beside \
     applications.\n\n\
     It keeps no state: after an interruption, run the same command again: it continues from the present modes.";

const EXIT_CODES: &str = "Exit codes:\n  \
     0  every node is in the mode, and its configuration names it; --dry-run: the rollout could start\n  \
     1  stopped, failed, interrupted or taken back: the last lines give every node's mode, and what to do\n  \
     2  usage: the command line, a TLS file that it names, or the log\n  \
     3  every node is in the mode, but a node's configuration names another: the line to change is printed";
