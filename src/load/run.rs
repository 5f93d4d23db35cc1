//! Threads, warm-up, the measured time; and the exit code.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::ArgMatches;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::runtime::Builder;
use tokio::time::Instant;

use super::client::{self, Clock, Progress, Shared};
use super::page::Report;
use super::processor::Used;
use super::serve::serve;
use super::tally::Tally;
use super::wish::{Service, Wish};
use crate::limits::LOAD_DESCRIPTORS;
use crate::net::{Resolver, descriptor_limit, raise_descriptor_limit};

/// Loads, or serves. 0: measured; 1: nothing succeeded; 2: usage.
#[must_use]
pub fn run(matches: &ArgMatches) -> ExitCode {
    let _ = raise_descriptor_limit(1);
    if let Some(service) = Service::of(matches) {
        return match service {
            Ok(service) => serve(service).map_or_else(|error| fail(&error, FAILED), |never| match never {}),
            Err(error) => fail(&error, USAGE),
        };
    }
    let wish = match Wish::of(matches).and_then(|wish| carried(&wish).map(|()| wish)) {
        Ok(wish) => wish,
        Err(error) => return fail(&error, USAGE),
    };
    let json = wish.json;
    match measure(wish) {
        Ok(report) => {
            let text = if json { report.json() } else { report.to_string() };
            // Whoever closed the standard output has seen enough: the exit code still tells.
            let _ = writeln!(stdout(), "{}", text.trim_end());
            if report.operations > 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
        }
        Err(error) => fail(&error, USAGE),
    }
}

/// Whether the descriptors carry the connections.
fn carried(wish: &Wish) -> Result<(), String> {
    let (limit, wanted) = (descriptor_limit(), wish.connections as u64 + LOAD_DESCRIPTORS);
    if wanted <= limit {
        return Ok(());
    }
    let (connections, most) = (wish.connections, limit.saturating_sub(LOAD_DESCRIPTORS));
    Err(format!("--connections {connections}: the descriptor limit carries {most}; raise it (ulimit -n)"))
}

fn measure(wish: Wish) -> Result<Report, String> {
    let empty = Tally::new().map_err(|error| error.to_string())?;
    let before = Used::of(&wish.cpu_of)?;
    let wish = Arc::new(wish);
    let begins = Instant::now();
    let counts = begins + wish.warm_up;
    let clock = Clock { begins, counts, ends: counts + wish.duration };
    let progress = Arc::<Progress>::default();
    let resolver = Arc::new(Resolver::new(wish.target.clone()));
    let threads = (0..wish.threads).map(|thread| {
        let shared = Shared {
            wish: Arc::clone(&wish),
            resolver: Arc::clone(&resolver),
            clock,
            tally: Mutex::new(empty.clone()),
            progress: Arc::clone(&progress),
        };
        start(Arc::new(shared), thread)
    });
    let threads: Vec<_> = threads.collect::<Result<_, _>>()?;
    let bar = bar(&wish);
    wait(counts, &bar, &progress, &wish);
    let warm = Used::of(&wish.cpu_of);
    wait(clock.ends, &bar, &progress, &wish);
    let used = Used::of(&wish.cpu_of);
    bar.finish_and_clear();
    let mut tally = empty;
    for thread in threads {
        tally.add(&thread.join().map_err(|_| "a thread of clients has panicked")?);
    }
    let warm = warm?;
    Ok(Report::of(&wish, &tally, used?.since(warm), warm.since(before).memory))
}

/// A thread with its share of the clients.
fn start(shared: Arc<Shared>, thread: usize) -> Result<JoinHandle<Tally>, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the system gives no thread: {error}"))?;
    let work = move || {
        let wish = Arc::clone(&shared.wish);
        let clients = (thread..wish.connections).step_by(wish.threads);
        let clients: Vec<_> = clients.map(|number| runtime.spawn(client::run(Arc::clone(&shared), number))).collect();
        runtime.block_on(async {
            for client in clients {
                // One that panicked has said so, and is missed in the sum.
                let _ = client.await;
            }
        });
        shared.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    };
    let started = std::thread::Builder::new().name(format!("load-{thread}")).spawn(work);
    started.map_err(|error| format!("the system gives no thread: {error}"))
}

/// Shows how it goes until a moment.
fn wait(until: Instant, bar: &ProgressBar, progress: &Progress, wish: &Wish) {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(LOOK));
        let (operations, errors) =
            (progress.operations.load(Ordering::Relaxed), progress.errors.load(Ordering::Relaxed));
        bar.set_position(operations);
        bar.set_message(format!("{} connections, {errors} errors", wish.connections));
    }
}

fn bar(wish: &Wish) -> ProgressBar {
    if wish.json || !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // The template is ours and known to parse; without it the line would only look plainer.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {pos} operations, {per_sec}, {msg}") {
        bar.set_style(style);
    }
    bar
}

fn fail(error: &str, code: u8) -> ExitCode {
    for line in error.lines() {
        // A closed standard error is no reason to fail otherwise.
        let _ = writeln!(stderr(), "tlsramp load: {line}");
    }
    ExitCode::from(code)
}

const FAILED: u8 = 1;
const USAGE: u8 = 2;
/// Between two looks at how it goes.
const LOOK: Duration = Duration::from_millis(100);
