//! The command line: which command, and its exit code.

use std::process::ExitCode;

use clap::Command;
use tlsramp::{app, ctl, demo, load, mongodb_uri, netfilter, rollout};

fn main() -> ExitCode {
    let arguments = match mongodb_uri::expand(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("tlsramp: {why}");
            return ExitCode::from(2);
        }
    };
    let matches = command().get_matches_from(arguments);
    match matches.subcommand() {
        Some(("run", arguments)) => app::run(arguments),
        Some(("check", arguments)) => app::check(arguments),
        Some(("ctl" | "status", arguments)) => ctl::run(arguments),
        Some(("demo", arguments)) => demo::run(arguments),
        Some(("load", arguments)) => load::run(arguments),
        Some(("netfilter", arguments)) => netfilter::run(arguments),
        Some(("rollout", arguments)) => rollout::run(arguments),
        // clap refuses all others.
        _ => ExitCode::from(2),
    }
}

fn command() -> Command {
    Command::new("tlsramp")
        .version(env!("CARGO_PKG_VERSION"))
        .about("One port for TLS and plaintext, under an sslMode that changes while it runs")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(app::run_command())
        .subcommand(app::check_command())
        .subcommand(ctl::command())
        .subcommand(ctl::status_command())
        .subcommand(demo::command())
        .subcommand(load::command())
        .subcommand(netfilter::command())
        .subcommand(rollout::command())
}
