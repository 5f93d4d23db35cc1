//! The command: leases, the way up or back, the end, the exit code.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use clap::ArgMatches;
use tokio::runtime::Builder;

use super::back::back;
use super::dry::{self, Goal};
use super::ends::{self, DONE, FILES_DISAGREE, STOPPED, USAGE};
use super::fleet::Fleet;
use super::halt::Halt;
use super::interrupt::Interrupt;
use super::journal::{self, Began, Journal, OPENS};
use super::lease::{Leases, holder};
use super::screen::Screen;
use super::up::up;
use super::walk::Walk;
use super::wish::{Way, Wish};
use crate::policy::Mode;

/// Rolls out. 0: every node is there, and its file agrees; 1: not; 2: usage; 3: every node is there, and a file
/// disagrees.
#[must_use]
pub fn run(arguments: &ArgMatches) -> ExitCode {
    let wish = match Wish::of(arguments) {
        Ok(wish) => wish,
        Err(why) => return usage(&why),
    };
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&error);
            return ExitCode::from(STOPPED);
        }
    };
    let exit = runtime.block_on(rollout(wish));
    // DNS may still be waited for, by a thread that nobody waits for any more.
    runtime.shutdown_background();
    exit
}

async fn rollout(wish: Wish) -> ExitCode {
    let names: Vec<_> = wish.nodes.iter().map(|node| node.name.clone()).collect();
    let began = match wish.log.as_deref().map(|log| journal::newest(log, &names)).transpose() {
        Ok(began) => began.flatten(),
        Err(error) => return usage(&format!("the log cannot be read: {error}")),
    };
    let goal = match goal(&wish, &names, began.as_ref()) {
        Ok(goal) => goal,
        Err(why) => return usage(&why),
    };
    let fleet = Arc::new(Fleet::new(wish.nodes));
    if wish.dry_run {
        return ExitCode::from(dry::run(&fleet, &goal, say).await);
    }
    // Before there is anything to give back.
    let started = Interrupt::listen().and_then(|interrupt| Ok((interrupt, Journal::open(wish.log.as_deref())?)));
    let (interrupt, journal) = match started {
        Ok(started) => started,
        Err(error) => return usage(&format!("the log cannot be written: {error}")),
    };
    let leases = match Leases::take(&fleet, &holder()).await {
        Ok(leases) => leases,
        Err(halt) => {
            halted(&halt).iter().for_each(|line| complain(line));
            return ExitCode::from(STOPPED);
        }
    };
    let screen = Screen::new(&names);
    let (wait, grace, force) = (wish.wait, wish.grace, wish.force);
    let (resolved, seen) = (Mutex::default(), Mutex::default());
    let walk = Walk { fleet, screen, journal, interrupt, leases, wait, grace, force, resolved, seen };
    let ended = match walk.accept(&wish.accept).await {
        Ok(()) => go(&walk, &goal, began, wish.auto_rollback).await,
        Err(halt) => Err(halt),
    };
    walk.screen.finish();
    let exit = end(&walk, &goal, ended).await;
    walk.leases.give_back().await;
    ExitCode::from(exit)
}

/// Where each node is to go.
fn goal(wish: &Wish, names: &[String], began: Option<&Began>) -> Result<Goal, String> {
    let back = |mode: &dyn Fn(&String) -> Option<Mode>| names.iter().map(mode).collect::<Option<Vec<_>>>();
    match wish.way {
        Way::Up(mode) => Ok(Goal::Up(mode)),
        Way::Back(Some(mode)) => Ok(Goal::Back(vec![mode; names.len()])),
        Way::Back(None) => back(&|name| began?.of(name)).map(Goal::Back).ok_or_else(|| {
            "the log has no rollout of these very nodes, so that it is not known where they began: give --to, or --log".to_owned()
        }),
    }
}

async fn go(walk: &Walk, goal: &Goal, began: Option<Began>, auto_rollback: bool) -> Result<(), Halt> {
    let holder = walk.leases.holder();
    let target = match goal {
        Goal::Back(targets) => {
            walk.journal.note(format_args!("back to where it began, by \"{holder}\""));
            let nodes = walk.reached().await?;
            let complaints = back(walk, nodes, targets).await?;
            return if complaints.is_empty() { Ok(()) } else { Err(Halt::TakenBack(complaints.join("\n"))) };
        }
        Goal::Up(target) => *target,
    };
    let nodes = walk.healthy(target).await?;
    walk.no_strangers(&nodes).await?;
    // One that goes on began where the one before it began.
    let began = began.filter(|began| !began.has_ended());
    let origin =
        |name: &str, now: Mode| began.as_ref().and_then(|began| began.of(name)).map_or(now, |then| then.min(now));
    let origins: Vec<_> = nodes.iter().map(|node| origin(&node.name, node.mode)).collect();
    let resumed = if began.is_some() { ", resumed" } else { "" };
    walk.journal.note(format_args!("{OPENS} to {target}, {} nodes, by \"{holder}\"{resumed}", nodes.len()));
    for (node, origin) in nodes.iter().zip(&origins) {
        walk.journal.began(&node.name, *origin);
    }
    match up(walk, target).await {
        Err(Halt::Failed(why)) if auto_rollback => {
            walk.screen.say(format_args!("failed: {why}\ntaking every node back to where it began"));
            walk.journal.note(format_args!("failed, taking every node back: {}", why.replace('\n', " | ")));
            // Where they were last seen: a node that is gone is as it was then.
            let last = walk.last(nodes);
            match back(walk, last, &origins).await {
                Ok(complaints) => Err(Halt::TakenBack([vec![why], complaints].concat().join("\n"))),
                Err(halt) => Err(halt),
            }
        }
        ended => ended,
    }
}

/// Says where everything stands, and what that comes to.
async fn end(walk: &Walk, goal: &Goal, ended: Result<(), Halt>) -> u8 {
    let (names, nodes) = (walk.fleet.names(), walk.fleet.look().await);
    let disagreements = ends::disagreements(&nodes);
    for line in ends::standing(&names, &nodes) {
        say(line);
    }
    if let Err(halt) = &ended {
        for line in halted(halt) {
            complain(&line);
            walk.journal.note(&line);
        }
    }
    let is_over = matches!(ended, Ok(()) | Err(Halt::TakenBack(_)));
    for node in nodes.iter().flatten().filter(|_| is_over) {
        walk.journal.done(&node.name, node.mode);
    }
    // Half way, the modes are not the ones that files should have.
    for line in disagreements.iter().filter(|_| is_over) {
        complain(line);
        walk.journal.note(line);
    }
    match (ended, disagreements.is_empty()) {
        (Err(_), _) => STOPPED,
        (Ok(()), false) => FILES_DISAGREE,
        (Ok(()), true) => {
            say(match goal {
                Goal::Up(mode) => format!("done: every node is at {mode}, and its file agrees"),
                Goal::Back(_) => "done: every node is back, and its file agrees".to_owned(),
            });
            DONE
        }
    }
}

fn halted(halt: &Halt) -> Vec<String> {
    let (word, why) = match halt {
        Halt::Stopped(why) => ("stopped", &**why),
        Halt::Failed(why) => ("failed", &**why),
        Halt::TakenBack(why) => ("failed, and every node was taken back", &**why),
        Halt::Interrupted => ("interrupted", ""),
    };
    let mut lines: Vec<_> = why.lines().map(|line| format!("{word}: {line}")).collect();
    if lines.is_empty() {
        lines.push(word.to_owned());
    }
    lines.push(ends::advice(halt).to_owned());
    lines
}

fn usage(why: &str) -> ExitCode {
    complain(&why);
    ExitCode::from(USAGE)
}

/// Whoever closed the standard output has seen enough: the exit code still tells.
fn say(line: String) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// A closed standard stream is no reason to fail.
fn complain(why: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "tlsramp rollout: {why}");
}
