//! The command: leases, the way up or back, the end, the exit code.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::ArgMatches;
use tokio::runtime::Builder;

use super::back::back;
use super::dry::{self, Goal};
use super::ends::{self, DONE, FILES_DISAGREE, STOPPED, USAGE};
use super::fleet::Fleet;
use super::halt::Halt;
use super::health;
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
    let among = matches!(wish.way, Way::Back(_));
    let past = match wish.log.as_deref().map(|log| journal::past(log, &names, among)).transpose() {
        Ok(past) => past.unwrap_or_default(),
        Err(error) => return usage(&format!("the log cannot be read: {error}")),
    };
    let goal = match goal(&wish, &names, past.began.as_ref()) {
        Ok(goal) => goal,
        Err(why) => return usage(&why),
    };
    let fleet = Arc::new(Fleet::new(wish.nodes));
    if wish.dry_run {
        return ExitCode::from(dry::run(&fleet, &goal, &past.last, &wish.accept, say).await);
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
            why(&halt).iter().for_each(|line| complain(line));
            complain(&ends::advice(&halt));
            return ExitCode::from(STOPPED);
        }
    };
    let screen = Screen::new(&names);
    let (wait, grace, force) = (wish.wait, wish.grace, wish.force);
    let (resolved, seen, named, last_modes) =
        (Mutex::default(), Mutex::default(), Mutex::default(), Mutex::new(past.last));
    let walk =
        Walk { fleet, screen, journal, interrupt, leases, wait, grace, force, resolved, named, last_modes, seen };
    let ended = match walk.accept(&wish.accept).await {
        Ok(()) => go(&walk, &goal, past.began, wish.auto_rollback).await,
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
            "the log has no rollout of these very nodes, nor of these among others, so that it is not known where they began: give --to, or --log".to_owned()
        }),
    }
}

async fn go(walk: &Walk, goal: &Goal, began: Option<Began>, auto_rollback: bool) -> Result<(), Halt> {
    let holder = walk.leases.holder();
    let target = match goal {
        Goal::Back(targets) => {
            walk.journal.note(format_args!("back to where it began, by \"{holder}\""));
            let nodes = walk.reached().await?;
            walk.tell_behind(&nodes);
            walk.no_live_strangers(&nodes).await?;
            let complaints = back(walk, nodes, targets).await?;
            return if complaints.is_empty() { Ok(()) } else { Err(Halt::TakenBack(complaints.join("\n"))) };
        }
        Goal::Up(target) => *target,
    };
    walk.tell_behind(&walk.reached().await?);
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
    // What is not reached before any step is no step's fault, and is said.
    let start = health::unreached(&nodes);
    for line in health::in_words(&start, &walk.fleet.names()).lines() {
        walk.screen.say(line);
        walk.journal.note(line);
    }
    match up(walk, target, &start).await {
        Err(Halt::Failed(why)) if auto_rollback => {
            walk.screen.say(format_args!("failed: {why}\ntaking every node back to where it began"));
            walk.journal.note(format_args!("failed, taking every node back: {}", why.replace('\n', " | ")));
            // Where they were last seen: a node that is gone is as it was then.
            let last = walk.last(nodes);
            match back(walk, last, &origins).await {
                Ok(complaints) => Err(Halt::TakenBack([vec![why], complaints].concat().join("\n"))),
                Err(Halt::Failed(left)) => Err(Halt::Failed(format!("{why}\n{left}"))),
                Err(halt) => Err(halt),
            }
        }
        ended => ended,
    }
}

/// Says why it ended, then where every node is, then what to do; the exit code.
async fn end(walk: &Walk, goal: &Goal, ended: Result<(), Halt>) -> u8 {
    let (names, nodes) = (walk.fleet.names(), walk.fleet.look().await);
    let is_over = matches!(ended, Ok(()) | Err(Halt::TakenBack(_)));
    let loud = |line: &String| {
        complain(line);
        walk.journal.note(line);
    };
    if let Err(halt) = &ended {
        why(halt).iter().for_each(loud);
    }
    for node in nodes.iter().flatten().filter(|_| is_over) {
        walk.journal.done(&node.name, node.mode);
    }
    // Half way, the modes are not the ones that files should have.
    let disagreements = if is_over { ends::disagreements(&nodes) } else { Vec::new() };
    disagreements.iter().for_each(loud);
    let last = walk.last_modes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for line in ends::standing(&names, &nodes, &last) {
        walk.journal.note(&line);
        say(line);
    }
    match (ended, disagreements.is_empty()) {
        (Err(halt), _) => {
            loud(&ends::advice(&halt).to_owned());
            STOPPED
        }
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

/// Why it does not go on, a line each.
fn why(halt: &Halt) -> Vec<String> {
    let (word, why) = match halt {
        Halt::Stopped(why) => ("stopped", &**why),
        Halt::Failed(why) => ("failed", &**why),
        Halt::TakenBack(why) => ("failed, and every node was taken back", &**why),
        Halt::Interrupted => return vec!["interrupted".to_owned()],
    };
    why.lines().map(|line| format!("{word}: {line}")).collect()
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
