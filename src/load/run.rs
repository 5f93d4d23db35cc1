//! Starts threads, runs the warm-up and the measurement, and returns the exit code.

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

use super::args::{LoadArgs, ServeArgs};
use super::client::{self, ClientContext, Progress, Schedule};
use super::echo_server::serve;
use super::limits::OWN_DESCRIPTORS;
use super::measurements::Measurements;
use super::process_usage::ProcessUsage;
use super::report::Report;
use crate::net::{Resolver, descriptor_limit, raise_descriptor_limit};

/// Runs the command. Exit codes: 0 if the measurement was made; 1 if no operation succeeded, or `--serve` has failed;
/// 2 for a usage error, or if the measurement could not be made.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let _ = raise_descriptor_limit(1);
    if let Some(service) = ServeArgs::of(matches) {
        return match service {
            Ok(service) => serve(service).map_or_else(|error| fail(&error, FAILED), |never| match never {}),
            Err(error) => fail(&error, USAGE),
        };
    }
    let args = match LoadArgs::of(matches).and_then(|args| fits_descriptors(&args).map(|()| args)) {
        Ok(args) => args,
        Err(error) => return fail(&error, USAGE),
    };
    let json = args.json;
    match measure(args) {
        Ok(report) => {
            let text = if json { report.json() } else { report.to_string() };
            // A closed standard output is not an error: the exit code tells the result.
            let _ = writeln!(stdout(), "{}", text.trim_end());
            if report.operations > 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
        }
        Err(error) => fail(&error, USAGE),
    }
}

/// Checks that the descriptor limit permits the requested connections.
fn fits_descriptors(args: &LoadArgs) -> Result<(), String> {
    // With a rate, each client has a timer.
    let for_each = if args.rate.is_some() { 2 } else { 1 };
    let (limit, connections) = (descriptor_limit(), args.connections);
    let most = limit.saturating_sub(OWN_DESCRIPTORS) / for_each;
    if connections as u64 <= most {
        return Ok(());
    }
    Err(format!("--connections {connections}: the descriptor limit allows {most}; raise it (ulimit -n), or use fewer"))
}

fn measure(args: LoadArgs) -> Result<Report, String> {
    let empty = Measurements::new().map_err(|error| error.to_string())?;
    let before = ProcessUsage::of(&args.cpu_of)?;
    let args = Arc::new(args);
    let begins = Instant::now();
    let counts = begins + args.warm_up;
    let schedule = Schedule { begins, counts, ends: counts + args.duration };
    let progress = Arc::<Progress>::default();
    let resolver = Arc::new(Resolver::new(args.target.clone()));
    let threads = (0..args.threads).map(|thread| {
        let context = ClientContext {
            args: Arc::clone(&args),
            resolver: Arc::clone(&resolver),
            schedule,
            measurements: Mutex::new(empty.clone()),
            progress: Arc::clone(&progress),
        };
        start(Arc::new(context), thread)
    });
    let threads: Vec<_> = threads.collect::<Result<_, _>>()?;
    let bar = bar(&args);
    wait(counts, &bar, &progress, &args);
    let warm = ProcessUsage::of(&args.cpu_of);
    wait(schedule.ends, &bar, &progress, &args);
    let used = ProcessUsage::of(&args.cpu_of);
    bar.finish_and_clear();
    let mut measurements = empty;
    for thread in threads {
        measurements.add(&thread.join().map_err(|_| "a thread of clients has panicked")?);
    }
    let warm = warm?;
    Ok(Report::of(&args, &measurements, used?.since(warm), warm.since(before).memory))
}

/// Starts a thread that runs its share of the clients.
fn start(context: Arc<ClientContext>, thread: usize) -> Result<JoinHandle<Measurements>, String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        format!("cannot start a thread: {error}; use fewer (--threads), or raise the limit (ulimit -u)")
    })?;
    let work = move || {
        let args = Arc::clone(&context.args);
        let clients = (thread..args.connections).step_by(args.threads);
        let clients: Vec<_> = clients.map(|number| runtime.spawn(client::run(Arc::clone(&context), number))).collect();
        runtime.block_on(async {
            for client in clients {
                // A client that panicked has printed a message. Its operations until then are in the sum.
                let _ = client.await;
            }
        });
        context.measurements.lock().unwrap_or_else(PoisonError::into_inner).clone()
    };
    let started = std::thread::Builder::new().name(format!("load-{thread}")).spawn(work);
    started.map_err(|error| {
        format!("cannot start a thread: {error}; use fewer (--threads), or raise the limit (ulimit -u)")
    })
}

/// Updates the progress line until the given time.
fn wait(until: Instant, bar: &ProgressBar, progress: &Progress, args: &LoadArgs) {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(TICK));
        let (operations, errors) =
            (progress.operations.load(Ordering::Relaxed), progress.errors.load(Ordering::Relaxed));
        bar.set_position(operations);
        bar.set_message(format!("{} connections, {errors} errors", args.connections));
    }
}

fn bar(args: &LoadArgs) -> ProgressBar {
    if args.json || !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // The template is a constant that is known to parse.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {pos} operations, {per_sec}, {msg}") {
        bar.set_style(style);
    }
    bar
}

fn fail(error: &str, code: u8) -> ExitCode {
    for line in error.lines() {
        // A closed standard error is not an error.
        let _ = writeln!(stderr(), "tlsramp load: {line}");
    }
    ExitCode::from(code)
}

const FAILED: u8 = 1;
const USAGE: u8 = 2;
/// Interval between two updates of the progress line.
const TICK: Duration = Duration::from_millis(100);
