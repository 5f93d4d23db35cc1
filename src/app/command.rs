//! The command line of `run` and `check`.

use clap::{Arg, ArgAction, Command};

use crate::config::with_options;

/// The command line of `tlsramp run`.
pub fn run_command() -> Command {
    with_options(Command::new("run").about("Run the proxy").long_about(
        "Run the proxy until SIGTERM or SIGINT. SIGHUP reloads the configuration and the certificates.\n\n\
         Exit code: 0 after a clean stop, 1 after a failure or if connections had to be cut, 2 for an invalid \
         configuration.",
    ))
}

/// The command line of `tlsramp check`.
pub fn check_command() -> Command {
    let network = Arg::new(NETWORK).long(NETWORK).action(ArgAction::SetTrue).help(
        "Also resolve the names and connect to the servers of the configuration, with and without TLS, and say what is wrong",
    );
    with_options(Command::new("check").arg(network).about("Check a configuration and print what run would do").long_about(
        "Check a configuration without starting anything: reports every mistake at once, or prints what run would do. \
         Messages and exit codes are those of run. An address that is in use is a warning: the instance to be replaced \
         may be listening there. Without --network, check connects to no server, and resolves only the names to listen \
         on and those of servers whose port is also that of a listener, to detect loops. What --network finds is \
         reported as warnings.\n\n\
         Exit code: 0 if the configuration can be run, 2 if it is invalid, 1 if it cannot be run now but may be later \
         without a change (an address that no interface has yet, a name that does not resolve).",
    ))
}

pub(super) const NETWORK: &str = "network";
