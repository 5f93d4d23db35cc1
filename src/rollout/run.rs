//! The command: leases, upgrade or rollback, exit code.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::ArgMatches;
use tokio::runtime::Builder;

use super::args::{RolloutArgs, RolloutTarget};
use super::context::Rollout;
use super::display::LiveDisplay;
use super::dry_run::{self, Goal};
use super::fleet::Fleet;
use super::halt::Halt;
use super::interrupt::Interrupt;
use super::journal::{self, Journal, OPENS, Origins};
use super::lease::{Leases, holder};
use super::reachability;
use super::rollback::roll_back;
use super::summary::{self, DONE, FILES_DISAGREE, STOPPED, USAGE};
use super::upgrade::upgrade;
use crate::policy::Mode;
use crate::screen::OutputStyle;

/// Runs the command. Exit codes: 0: every node is in the mode, and its configuration names it; with `--dry-run`, the
/// rollout could start. 1: the rollout has stopped or failed. 2: wrong usage, or the log cannot be used. 3: every node
/// is in the mode, but a node's configuration names another.
pub fn run(arguments: &ArgMatches) -> ExitCode {
    let args = match RolloutArgs::of(arguments) {
        Ok(args) => args,
        Err(why) => return usage(&why),
    };
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&error);
            return ExitCode::from(STOPPED);
        }
    };
    let exit = runtime.block_on(rollout(args));
    // A DNS look-up may still block one of the runtime's threads.
    runtime.shutdown_background();
    exit
}

async fn rollout(args: RolloutArgs) -> ExitCode {
    let names: Vec<_> = args.nodes.iter().map(|node| node.name.clone()).collect();
    let is_back = matches!(args.target, RolloutTarget::Back(_));
    let history = match args.log.as_deref().map(|log| journal::history(log, &names, is_back)).transpose() {
        Ok(history) => history.unwrap_or_default(),
        Err(error) => return usage(&format!("cannot read the log: {error}")),
    };
    let goal = match goal(args.target, &names, history.origins.as_ref()) {
        Ok(goal) => goal,
        Err(why) => return usage(&why),
    };
    let fleet = Arc::new(Fleet::new(args.nodes));
    if args.dry_run {
        return ExitCode::from(dry_run::run(&fleet, &goal, &history.last_modes, &args.accept, say).await);
    }
    // The handlers come before the leases, so that a signal does not leave leases behind.
    let started =
        Interrupt::listen().map_err(|error| format!("cannot watch for signals: {error}")).and_then(|interrupt| {
            let journal =
                Journal::open(args.log.as_deref()).map_err(|error| format!("cannot write the log: {error}"))?;
            Ok((interrupt, journal))
        });
    let (interrupt, journal) = match started {
        Ok(started) => started,
        Err(why) => return usage(&why),
    };
    let leases = match Leases::take(&fleet, &holder()).await {
        Ok(leases) => leases,
        Err(halt) => {
            reasons(&halt).iter().for_each(|line| complain(line));
            complain(&summary::advice(&halt));
            return ExitCode::from(STOPPED);
        }
    };
    let rollout = Rollout {
        fleet,
        display: LiveDisplay::new(&names),
        journal,
        interrupt,
        leases,
        wait: args.wait,
        grace: args.grace,
        force: args.force,
        resolved: Default::default(),
        given_names: Default::default(),
        last_modes: history.last_modes.into(),
        last_seen: Default::default(),
        failed_requests: Default::default(),
    };
    let ended = match rollout.accept(&args.accept).await {
        Ok(()) => go(&rollout, &goal, history.origins, args.auto_rollback).await,
        Err(halt) => Err(halt),
    };
    rollout.display.finish();
    let exit = end(&rollout, &goal, ended).await;
    rollout.leases.give_back().await;
    ExitCode::from(exit)
}

fn goal(target: RolloutTarget, names: &[String], origins: Option<&Origins>) -> Result<Goal, String> {
    match target {
        RolloutTarget::Up(mode) => Ok(Goal::Up(mode)),
        RolloutTarget::Back(Some(mode)) => Ok(Goal::Back(vec![mode; names.len()])),
        RolloutTarget::Back(None) => {
            let modes = names.iter().map(|name| origins?.of(name)).collect::<Option<Vec<_>>>();
            modes.map(Goal::Back).ok_or_else(|| NO_ORIGINS.to_owned())
        }
    }
}

async fn go(rollout: &Rollout, goal: &Goal, origins: Option<Origins>, auto_rollback: bool) -> Result<(), Halt> {
    match goal {
        Goal::Up(target) => go_up(rollout, *target, origins, auto_rollback).await,
        Goal::Back(targets) => {
            rollout.journal.note(format_args!("rollback, by \"{}\"", rollout.leases.holder()));
            let nodes = rollout.reached().await?;
            rollout.tell_lagging(&nodes);
            rollout.none_left_behind(&nodes).await?;
            let complaints = roll_back(rollout, nodes, targets).await?;
            if complaints.is_empty() { Ok(()) } else { Err(Halt::TakenBack(complaints.join("\n"))) }
        }
    }
}

async fn go_up(rollout: &Rollout, target: Mode, origins: Option<Origins>, auto_rollback: bool) -> Result<(), Halt> {
    rollout.tell_lagging(&rollout.reached().await?);
    let nodes = rollout.healthy(target).await?;
    rollout.no_unlisted(&nodes).await?;
    // A resumed rollout takes over the origins of the one that it resumes.
    let resumed = origins.filter(|origins| !origins.has_ended());
    let origin =
        |name: &str, now: Mode| resumed.as_ref().and_then(|origins| origins.of(name)).map_or(now, |then| then.min(now));
    let origins: Vec<_> = nodes.iter().map(|node| origin(&node.name, node.mode)).collect();
    let (count, holder) = (nodes.len(), rollout.leases.holder());
    let resumed = if resumed.is_some() { ", resumed" } else { "" };
    rollout.journal.note(format_args!("{OPENS} to {target}, {count} nodes, by \"{holder}\"{resumed}"));
    for (node, origin) in nodes.iter().zip(&origins) {
        rollout.journal.began(&node.name, *origin);
    }
    // A server that is unreachable before the first step does not stop the rollout.
    let unreached = reachability::unreached(&nodes);
    reachability::text(&unreached, &rollout.fleet.names()).lines().for_each(|line| rollout.tell_all(line));
    match upgrade(rollout, target, &unreached).await {
        Err(Halt::Failed(why)) if auto_rollback => {
            rollout.display.line(format_args!("failed: {why}\ntaking every node back to the mode that it had before"));
            rollout.journal.note(format_args!("failed, taking every node back: {}", why.replace('\n', " | ")));
            // A node that is down counts with its last known state.
            match roll_back(rollout, rollout.last_known(nodes), &origins).await {
                Ok(complaints) => Err(Halt::TakenBack([vec![why], complaints].concat().join("\n"))),
                Err(Halt::Failed(left)) => Err(Halt::Failed(format!("{why}\n{left}"))),
                Err(halt) => Err(halt),
            }
        }
        ended => ended,
    }
}

/// Prints why the rollout ended, the state of every node, and what to do next; returns the exit code.
async fn end(rollout: &Rollout, goal: &Goal, ended: Result<(), Halt>) -> u8 {
    let (names, nodes) = (rollout.fleet.names(), rollout.fleet.look().await);
    let is_complete = matches!(ended, Ok(()) | Err(Halt::TakenBack(_)));
    let loud = |line: &String| {
        complain(line);
        rollout.journal.note(line);
    };
    if let Err(halt) = &ended {
        reasons(halt).iter().for_each(loud);
    }
    for node in nodes.iter().flatten().filter(|_| is_complete) {
        rollout.journal.done(&node.name, node.mode);
    }
    // After an incomplete rollout, files are not compared, because the nodes are not to stay in these modes.
    let disagreements = if is_complete { summary::disagreements(&nodes) } else { Vec::new() };
    disagreements.iter().for_each(loud);
    let standing = summary::standing(&names, &nodes, &rollout.last_modes.borrow());
    standing.render(OutputStyle::default()).lines().for_each(|line| rollout.journal.note(line));
    say(standing.render(OutputStyle::of(&io::stdout(), false)).trim_end().to_owned());
    match (ended, disagreements.is_empty()) {
        (Err(halt), _) => {
            loud(&summary::advice(&halt).to_owned());
            STOPPED
        }
        (Ok(()), false) => FILES_DISAGREE,
        (Ok(()), true) => {
            say(match goal {
                Goal::Up(mode) => format!("done: every node is in {mode}, and its configuration names it"),
                Goal::Back(_) => "done: every node is back, and its configuration names its mode".to_owned(),
            });
            DONE
        }
    }
}

/// The reasons for an early end, one line each.
fn reasons(halt: &Halt) -> Vec<String> {
    let (word, why) = match halt {
        Halt::Stopped(why) => ("stopped", why),
        Halt::Failed(why) => ("failed", why),
        Halt::TakenBack(why) => ("failed, and every node was taken back", why),
        Halt::Interrupted => return vec!["interrupted".to_owned()],
    };
    why.lines().map(|line| format!("{word}: {line}")).collect()
}

fn usage(why: &str) -> ExitCode {
    complain(&why);
    ExitCode::from(USAGE)
}

/// Prints a line. A closed standard output is not an error: the exit code states the result.
fn say(line: String) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn complain(why: &dyn Display) {
    let _ = writeln!(io::stderr(), "tlsramp rollout: {why}");
}

const NO_ORIGINS: &str = "the log has no rollout of all these nodes, so the modes that they had before are unknown: \
     give a mode with --to, or another log with --log";
