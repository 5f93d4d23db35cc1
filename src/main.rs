//! The command line: which command, and its exit code.

use std::process::ExitCode;

use clap::Command;
use tlsramp::{app, config, ctl, demo, load, netfilter, rollout};

fn main() -> ExitCode {
    let matches = command().get_matches();
    match matches.subcommand() {
        Some(("run", arguments)) => app::run(arguments),
        Some(("check", arguments)) => app::check(arguments),
        Some(("ctl", arguments)) => ctl::run(arguments),
        Some(("demo", arguments)) => demo::run(arguments),
        Some(("load", arguments)) => load::run(arguments),
        Some(("netfilter", arguments)) => netfilter::run(arguments),
        Some(("rollout", arguments)) => rollout::run(arguments),
        // clap lets no other through.
        _ => ExitCode::from(2),
    }
}

fn command() -> Command {
    let run = Command::new("run").about("Run the proxy").long_about(
        "Run the proxy until SIGTERM or SIGINT. SIGHUP reads the configuration and the certificates again.\n\n\
         Exit code: 0 after a clean stop, 1 after a failure or a stop that had to be forced, 2 for a configuration \
         that cannot be run.",
    );
    let check = Command::new("check").about("Check a configuration: every mistake at once, or what it would do").long_about(
        "Check a configuration without starting anything: what run would do, with the same words and exit codes. An \
         address that is in use is a warning: the instance to be replaced may be listening there.\n\n\
         Exit code: 0 if it can be run, 2 with every mistake if it cannot, 1 if it cannot now and may later without a \
         change (an address that no interface has yet, a name that does not resolve).",
    );
    Command::new("tlsramp")
        .version(env!("CARGO_PKG_VERSION"))
        .about("One port for TLS and plaintext, under an sslMode that changes while it runs")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(config::with_options(run))
        .subcommand(config::with_options(check))
        .subcommand(ctl::command())
        .subcommand(demo::command())
        .subcommand(load::command())
        .subcommand(netfilter::command())
        .subcommand(rollout::command())
}
