//! The command line as a whole: its commands, shell completions, and the version with its commit.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Arg, ArgMatches, Command};
use clap_complete::Shell;

use crate::{app, ctl, demo, load, mongodb_uri, netfilter, rollout};

/// Runs the command that the arguments name. Arguments that are not understood give exit code 2.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter().peekable();
    let program = arguments.next();
    // No command for users: a running process starts the next one by it.
    if arguments.next_if(|first| *first == *app::START_NEXT).is_some() {
        return app::start_detached(arguments);
    }
    let arguments = match mongodb_uri::expand(program.into_iter().chain(arguments)) {
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
        Some((COMPLETIONS, arguments)) => completions(arguments),
        // clap refuses all others.
        _ => ExitCode::from(2),
    }
}

/// The whole command line.
pub fn command() -> Command {
    Command::new("tlsramp")
        .version(VERSION)
        .long_version(LONG_VERSION)
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
        .subcommand(completions_command())
}

/// Returns the completion script of a shell.
pub fn completion_script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "tlsramp", &mut script);
    script
}

fn completions_command() -> Command {
    let shell = PossibleValuesParser::new(["bash", "zsh", "fish"]).try_map(|name| name.parse::<Shell>());
    Command::new(COMPLETIONS)
        .about("Print a script that completes the commands and options of tlsramp in a shell")
        .long_about(
            "Print a script that completes the commands and options of tlsramp in a shell. Packages install it. By hand:\n\n  \
             bash: tlsramp completions bash > ~/.local/share/bash-completion/completions/tlsramp\n  \
             zsh:  tlsramp completions zsh > ~/.zfunc/_tlsramp, with ~/.zfunc in fpath before compinit\n  \
             fish: tlsramp completions fish > ~/.config/fish/completions/tlsramp.fish",
        )
        .arg(Arg::new(SHELL).value_name("SHELL").required(true).value_parser(shell).help("The shell"))
}

fn completions(arguments: &ArgMatches) -> ExitCode {
    let Some(shell) = arguments.get_one::<Shell>(SHELL) else { return ExitCode::from(2) };
    let mut stdout = io::stdout().lock();
    match stdout.write_all(&completion_script(*shell)).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tlsramp completions: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The version, with the commit and its date where `build.rs` knows them.
pub const VERSION: &str = env!("TLSRAMP_VERSION");
/// The version, and a second line with the versions of the crates that implement TLS: security advisories name these.
const LONG_VERSION: &str = concat!(env!("TLSRAMP_VERSION"), "\n", env!("TLSRAMP_TLS_STACK"));
const COMPLETIONS: &str = "completions";
const SHELL: &str = "shell";
