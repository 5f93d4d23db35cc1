//! The command `demo`: arguments, signals, exit code.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::cluster::Cluster;
use super::files::Files;
use super::node::NAMES;
use super::screen::Screen;
use super::upgrade::{Findings, Pace, Upgrade};
use super::{output, totals};
use crate::app::Signals;
use crate::net::raise_descriptor_limit;

/// The command line of `tlsramp demo`.
pub fn command() -> Command {
    let pace = Arg::new(PACE).long(PACE).value_name("PACE").value_parser(["normal", "slow"]).default_value("normal");
    let keep = Arg::new(KEEP).long(KEEP).action(ArgAction::SetTrue);
    Command::new("demo")
        .about("A rolling upgrade to TLS on three embedded nodes, start to finish")
        .long_about(
            "A rolling upgrade from plaintext to TLS only, from start to finish, on this machine alone: three small \
             servers that speak MongoDB, each behind its own tlsramp, with clients that never pause. Every step is \
             checked against the truth table with real connections.\n\n\
             Exit code: 0 if everything agreed with the truth table and no operation failed; 128 plus the signal's \
             number if a signal ended it early; otherwise 1.",
        )
        .arg(pace.help("Speed: about ten seconds in total, or slow enough to watch"))
        .arg(keep.help("Keep everything running afterwards, until Ctrl-C, and print how to connect"))
}

/// Runs the demo. Exit codes: 0 if everything agreed with the truth table and no operation failed; 1 if not, or if the
/// demo could not start; 128 plus the signal's number if a signal ended it early.
pub fn run(arguments: &ArgMatches) -> ExitCode {
    let slow = arguments.get_one::<String>(PACE).is_some_and(|pace| pace == "slow");
    let keep = arguments.get_flag(KEEP);
    // Some default soft limits are too low for all nodes in one process.
    let _ = raise_descriptor_limit(1);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    // Signals are handled before anything is created, so that a signal leaves nothing behind.
    let started = runtime.block_on(async {
        let signals = Signals::new().map_err(|error| error.to_string())?;
        Files::make(&NAMES).map(|files| (signals, files)).map_err(|error| error.to_string())
    });
    let (signals, files) = match started {
        Ok(started) => started,
        Err(error) => return fail(&error),
    };
    let code = runtime.block_on(demo(if slow { SLOW } else { NORMAL }, keep, signals, &files));
    // The certificates are removed last: removing them needs a descriptor, and open connections may use all of them.
    drop(runtime);
    code
}

async fn demo(pace: Pace, keep: bool, mut signals: Signals, files: &Files) -> ExitCode {
    let screen = Screen::new();
    let ended = tokio::select! {
        ended = play(&screen, files, pace) => ended,
        number = signals.any() => {
            screen.line("\ninterrupted: everything is stopped and the certificates are removed");
            return ExitCode::from(SIGNALLED + number);
        }
    };
    match ended {
        Ok((cluster, findings, began)) => {
            let good = totals::show(&screen, &cluster, &findings, began.elapsed());
            if keep && good {
                output::kept(&screen, &cluster.nodes, files);
                signals.any().await;
                screen.line("\nstopping");
            }
            let failed = cluster.tally.failed();
            cluster.stop().await;
            if good && failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => fail(&why),
    }
}

async fn play(screen: &Screen, files: &Files, pace: Pace) -> Result<(Cluster, Findings, Instant), String> {
    let began = Instant::now();
    let cluster = Cluster::start(files, CLIENTS).await?;
    output::introduction(screen, &cluster.nodes, CLIENTS);
    let findings = Upgrade::new(&cluster, screen, pace).run().await;
    Ok((cluster, findings, began))
}

fn fail(why: &str) -> ExitCode {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "tlsramp demo: {why}");
    ExitCode::FAILURE
}

const PACE: &str = "pace";
const KEEP: &str = "keep";
/// Number of clients: four for each node.
const CLIENTS: usize = 12;
/// About ten seconds in total: long enough for thousands of operations during every step.
const NORMAL: Pace = Pace { step: Duration::from_millis(600), client: Duration::from_millis(100) };
/// Leaves time to read each row.
const SLOW: Pace = Pace { step: Duration::from_millis(2500), client: Duration::from_millis(500) };
/// Exit code of a shell for a signal: 128 plus the signal's number.
const SIGNALLED: u8 = 128;
