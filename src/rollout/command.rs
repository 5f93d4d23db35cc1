//! The command line of `tlsramp rollout`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, Command, value_parser};

use super::node::mode;
use crate::admin_client::{AdminAddress, with_tls_options};
use crate::limits::ROLLOUT_WAIT;
use crate::telemetry::ClientIdentity;

/// The command line of `tlsramp rollout`.
#[must_use]
pub fn command() -> Command {
    let node = Arg::new(NODE).long(NODE).value_name("ADMIN_ADDR").required(true).action(ArgAction::Append);
    let to = Arg::new(TO).long(TO).value_name("MODE").value_parser(mode).required_unless_present(ROLLBACK);
    let public = Arg::new(PUBLIC).long(PUBLIC).value_name("ADMIN_ADDR=HOST:PORT|none").action(ArgAction::Append);
    let wait = Arg::new(WAIT).long(WAIT).value_name("TIME");
    let wait = wait.value_parser(|text: &str| crate::config::time(text, std::time::Duration::ZERO));
    let accept = Arg::new(ACCEPT).long(ACCEPT).value_name("KEY").value_parser(key).action(ArgAction::Append);
    let grace = Arg::new(GRACE).long(GRACE).value_name("SECONDS").value_parser(value_parser!(u64));
    let log = Arg::new(LOG).long(LOG).value_name("FILE|none").default_value(LOG_DEFAULT);
    let command = Command::new("rollout")
        .about("The rolling upgrade over many nodes, one step at a time")
        .long_about(LONG_ABOUT)
        .after_long_help(EXIT_CODES)
        .arg_required_else_help(true);
    with_tls_options(command).args([
        to.help("The mode to go to, in either spelling: disabled, allowSSL, preferSSL, requireSSL"),
        node.value_parser(value_parser!(AdminAddress))
            .help("A node's admin port, HOST:PORT or unix:PATH; once for each node, all of them"),
        public
            .value_parser(NonEmptyStringValueParser::new())
            .help("Where a node is looked at from outside, or none: not at all [default: its own name in the set]"),
        wait.help(format!(
            "How long clients and old connections are waited for, each time; 0: not at all [default: {}m]",
            ROLLOUT_WAIT.as_secs() / 60
        )),
        accept.conflicts_with(ROLLBACK).help(
            "Accept on every node that this client (IP/APPLICATION/DRIVER, as `ctl clients` prints it) will be refused \
             by requireSSL; repeatable",
        ),
        grace.help(
            "Cut old connections that have not moved after so many seconds, wherever they are, those at risk too; \
             their clients may see an error [default: never]",
        ),
        log.value_parser(NonEmptyStringValueParser::new()).help("The change record, appended to; none: no record"),
        switch(DRY_RUN).help("Say what it would do and what stands in its way; change nothing"),
        switch(AUTO_ROLLBACK).conflicts_with(ROLLBACK).help("If a node fails, take every node back to where it began"),
        switch(ROLLBACK).help("Take every node back to where it began, as the log has it, or down to --to"),
        switch(FORCE).help(
            "On the way back, go on although a live member is not listed as --node, and turn TLS clients away before \
             disabled instead of waiting for them",
        ),
    ])
}

/// A client's key as it was typed, if it is one.
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
/// What is said for no log, or no look.
pub(super) const NONE: &str = "none";
const LOG_DEFAULT: &str = "tlsramp-rollout.log";

const LONG_ABOUT: &str = "MongoDB's \"Upgrade a Cluster to Use SSL\" as one command: all nodes, one step at a time. No node \
     takes a step before all have the previous one; secondaries go first, then proxies beside applications, the primary \
     last, and it is never stepped down. Before the first step every node is told the names of all members. Before each \
     step all nodes must be well, and the node's guard must find nobody whom it would hurt; after it, the node is looked \
     at from outside, and every node must still reach every server. Before requireSSL, clients and old connections are \
     waited for, and named.\n\n\
     List the tlsramp of every mongod and mongos, hidden members and all shards included, and those beside \
     applications.\n\n\
     It keeps nothing: interrupted, the same command goes on where the nodes are.";

const EXIT_CODES: &str = "Exit codes:\n  \
     0  every node is at the mode, and its file agrees; --dry-run: it could start\n  \
     1  stopped, failed, interrupted or taken back: the last lines say where every node is, and what to do\n  \
     2  usage: the command line, a TLS file that it names, or the log\n  \
     3  every node is at the mode, and the file of some names another: the line to put there is printed";
