//! Implements the commands `run` and `check`, from the command line to an exit code.

use std::convert::Infallible;
use std::io::{self, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::ArgMatches;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::runtime::Builder;
use tokio::time::{MissedTickBehavior, interval};

use super::capabilities::{CapabilityError, drop_and_read, open_and_drop};
use super::command::NETWORK;
use super::doctor::{local_warnings, look_at_network};
use super::prepare::{InUse, prepare};
use super::service_manager::{ProxyStatus, ServiceManager};
use super::signals::Signals;
use super::start::{App, StartError};
use super::takeover::{self, Taking, replaced};
use super::unexpected_sockets::unexpected_sockets;
use crate::config::{self, Loaded, LogFormat, LogSettings, Mistake};
use crate::control::Caller;
use crate::net::{Inherited, raise_descriptor_limit};
use crate::telemetry::{LogHandle, Observer, init_logs};

/// Runs the proxy until it is stopped by a signal or through the admin port, or is replaced. Exit codes: 0 for a clean
/// stop; 1 for a failure, or if connections had to be cut off; 2 for an invalid configuration.
pub fn run(arguments: &ArgMatches) -> ExitCode {
    // Called before other threads exist, because it changes the environment.
    let mut inherited = match Inherited::from_env() {
        Ok(inherited) => inherited,
        Err(error) => return refuse(&[invalid_sockets(&error)]),
    };
    let loaded = match config::load(arguments) {
        Ok(loaded) => loaded,
        Err(mistakes) => return refuse(&mistakes),
    };
    // Called before `open_and_drop`: a socket that is taken over need not be opened, so the capability to open it may
    // not be needed.
    let taking = match &loaded.settings.admin.takeover {
        Some(path) => {
            // Called before the sockets arrive: each worker of the other process has one for each address.
            raise_descriptor_limit(loaded.settings.workers);
            match Taking::begin(path, &mut inherited) {
                Ok(taking) => taking,
                Err(error) => return fail(&error),
            }
        }
        None => None,
    };
    if taking.is_some() {
        // The start checks this too, but after it has frozen the running process.
        let unexpected = unexpected_sockets(&inherited, &loaded.settings);
        if !unexpected.is_empty() {
            return refuse(&unexpected);
        }
    }
    // Called before other threads exist, because each thread has its own capabilities.
    match open_and_drop(arguments, &loaded, &mut inherited) {
        Ok(()) => {}
        Err(CapabilityError::Mistakes(mistakes)) => return refuse(&mistakes),
        Err(error @ CapabilityError::Drop(_)) => return fail(&error),
    }
    let LogSettings { format, level } = loaded.settings.log;
    let log = match init_logs(format == LogFormat::Json, level) {
        Ok(log) => Arc::new(log),
        Err(error) => return fail(&format!("cannot start the log's thread: {error}; {MORE}")),
    };
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the runtime: {error}; {MORE}")),
    };
    let exit = runtime.block_on(serve(loaded, arguments, &log, inherited, taking));
    // Does not wait for a reload that is waiting for DNS.
    runtime.shutdown_background();
    exit
}

/// Checks a configuration and prints what `run` would do. Exit codes: 0 if the configuration can be run; 1 if it cannot
/// be run now, but possibly later without a change; 2 if it is invalid.
pub fn check(arguments: &ArgMatches) -> ExitCode {
    let inherited = Inherited::from_env().map_err(|error| vec![invalid_sockets(&error)]);
    let checked = inherited.and_then(|inherited| {
        let loaded = config::load(arguments)?;
        let prepared = prepare(&loaded, &inherited, InUse::Warning)?;
        Ok((loaded, prepared))
    });
    let (loaded, prepared) = match checked {
        Ok(checked) => checked,
        Err(mistakes) => return refuse(&mistakes),
    };
    match drop_and_read(arguments, &loaded) {
        Ok(()) => {}
        Err(CapabilityError::Mistakes(mistakes)) => return refuse(&mistakes),
        Err(error @ CapabilityError::Drop(_)) => return fail(&error),
    }
    let (mode, mut warnings) = (prepared.restored.mode, prepared.warnings);
    warnings.extend(local_warnings(&loaded, mode));
    let mut fine = Vec::new();
    if arguments.get_flag(NETWORK) {
        match look_at_network(&loaded, mode) {
            Ok(Ok(lines)) => {
                warnings.extend(lines.warnings);
                fine = lines.fine;
            }
            Ok(Err(error)) => return fail(&format!("the runtime cannot be started: {error}; {MORE}")),
            Err(mistakes) => return refuse(&mistakes),
        }
    }
    let fine = fine.into_iter().map(|line| format!("checked: {line}\n"));
    print(&fine.fold(config::report(&loaded, &warnings), |report, line| report + &line));
    ExitCode::SUCCESS
}

async fn serve(
    loaded: Loaded,
    arguments: &ArgMatches,
    log: &Arc<LogHandle>,
    inherited: Inherited,
    taking: Option<Taking>,
) -> ExitCode {
    // Signal handlers are installed first, so that no signal is lost.
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("cannot install signal handlers: {error}; {MORE}")),
    };
    let warnings = loaded.warnings.clone();
    if let Err(error) = no_core_dumps() {
        tracing::warn!(%error, "cannot disable core dumps, which may contain private keys; set LimitCORE=0 in the \
            service unit (ulimit -c 0)");
    }
    let connections = raise_descriptor_limit(loaded.settings.workers);
    let app = match start(loaded, arguments, connections, log, inherited, taking) {
        Ok(app) => app,
        Err(exit) => return exit,
    };
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    for (route, address) in app.addresses() {
        tracing::info!(route = &*route, %address, "listening");
    }
    for socket in app.admin_sockets() {
        tracing::info!(route = "admin", address = %format_args!("unix:{}", socket.display()), "listening");
    }
    let (mode, _) = app.controller.view().mode();
    let (max_incoming, bounded_by) = app.max_incoming();
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(%mode, version, max_incoming_connections = max_incoming, bounded_by, "ready");
    let proxy = ProxyStatus {
        controller: Arc::clone(&app.controller),
        observer: Arc::clone(&app.observer),
        worker_health: app.worker_health(),
    };
    let manager = ServiceManager::of_this_process();
    manager.ready(&proxy).await;
    let by_itself = tokio::select! {
        by_itself = until_stopped(app, &mut signals, &manager, &proxy) => by_itself,
        never = summaries(&proxy.observer, log) => match never {},
        never = manager.keep_notified(&proxy) => match never {},
    };
    proxy.observer.summarize();
    if by_itself {
        tracing::info!("stopped");
        ExitCode::SUCCESS
    } else {
        tracing::warn!("stopped by force: open connections were cut off; raise --drainTimeout to wait longer");
        ExitCode::FAILURE
    }
}

/// Starts the proxy. If it takes over from a running process, that process is replaced.
///
/// # Errors
/// The exit code; the reason is printed.
fn start(
    loaded: Loaded,
    arguments: &ArgMatches,
    connections: u64,
    log: &Arc<LogHandle>,
    inherited: Inherited,
    mut taking: Option<Taking>,
) -> Result<App, ExitCode> {
    let handover = taking.as_mut().map(Taking::freeze).transpose().map_err(|error| fail(&error))?;
    let ready = App::prepare(loaded, arguments, connections, Some(Arc::clone(log)), inherited, handover);
    let ready = ready.map_err(|error| match error {
        StartError::Configuration(mistakes) => refuse(&mistakes),
        error @ StartError::Workers(_) => fail(&error),
    })?;
    if let Some(taking) = taking {
        let (pid, version) = (taking.pid, crate::text::printable(&taking.version).to_string());
        taking.ready().map_err(|error| fail(&error))?;
        tracing::info!(pid, version, "replaced a running tlsramp");
    }
    Ok(ready.serve())
}

/// Serves until a stop is requested or a new process replaces this one, then stops. Returns true if no connection had
/// to be cut off.
async fn until_stopped(app: App, signals: &mut Signals, manager: &ServiceManager, proxy: &ProxyStatus) -> bool {
    let is_replaced = served(&app, signals, manager, proxy).await;
    let limit = app.controller.view().settings().timeouts.drain;
    if is_replaced {
        return app.stop_replaced(limit, signals.stop()).await;
    }
    manager.stopping(proxy).await;
    app.stop(limit, signals.stop()).await
}

/// Serves, and reloads on SIGHUP, until a stop is requested by a signal or through the admin port, or until a new
/// process replaces this one. Returns true if this process was replaced.
async fn served(app: &App, signals: &mut Signals, manager: &ServiceManager, proxy: &ProxyStatus) -> bool {
    let starting = Arc::new(AtomicBool::new(false));
    let mut replaced = pin!(replaced(app, manager, proxy));
    let Signals { hangup, terminate, interrupt, rotate_log, start_next } = signals;
    let reloading = AtomicBool::new(false);
    // One future for all reloads, so that another signal does not end the report of a reload in progress.
    let mut reloads = pin!(async {
        loop {
            hangup.recv().await;
            reloading.store(true, Ordering::Relaxed);
            manager.reloading().await;
            let done = reload(app).await;
            manager.reloaded(done, proxy).await;
            reloading.store(false, Ordering::Relaxed);
        }
    });
    loop {
        // A stop does not wait for a reload in progress.
        tokio::select! {
            _ = terminate.recv() => return false,
            _ = interrupt.recv() => return false,
            () = app.controller.quitting() => return false,
            () = &mut replaced => {
                starting.store(false, Ordering::Relaxed);
                if reloading.load(Ordering::Relaxed) {
                    tracing::warn!("the reload by SIGHUP was not made, as a new process has replaced this one; send \
                        SIGHUP to the new process");
                }
                return true;
            }
            _ = rotate_log.recv() => {
                let signal = "SIGUSR1";
                tracing::info!(signal, "signal ignored: the log goes to standard output, so there is no file to reopen");
            }
            _ = start_next.recv() => match app.takeover {
                Some(_) => takeover::start_next(&starting),
                None => {
                    let signal = "SIGUSR2";
                    tracing::warn!(signal, "signal ignored: a new process can replace this one only with --takeover");
                }
            },
            never = &mut reloads => match never {},
        }
    }
}

/// Logs every second how many lines the rate limit has left out and the log has lost.
async fn summaries(observer: &Observer, log: &LogHandle) -> Infallible {
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut dropped = 0;
    loop {
        second.tick().await;
        observer.summarize();
        let lines = log.dropped();
        if lines > dropped {
            tracing::warn!(
                lines = lines - dropped,
                "log lines lost: the log's reader is too slow, or its disk is full"
            );
            dropped = lines;
        }
    }
}

/// Reloads the configuration and returns whether this succeeded. The controller logs the reason of a failure.
async fn reload(app: &App) -> bool {
    let done = app.controller.reload(&Caller::SIGNAL).await.is_ok();
    if done {
        for (route, address) in app.addresses() {
            tracing::debug!(route = &*route, %address, "listening");
        }
    }
    done
}

/// Disables core dumps, which would contain private keys and client data. The resource limit does not apply if
/// core_pattern pipes to a program (core(5)), so the process is also marked as not dumpable.
fn no_core_dumps() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

fn invalid_sockets(error: &io::Error) -> Mistake {
    let remedy = "pass only listening stream sockets (ListenStream=, Accept=no)";
    Mistake::of("LISTEN_FDS", &std::env::var("LISTEN_FDNAMES").unwrap_or_default(), error.to_string(), remedy)
}

/// Prints every mistake. Returns 1 if all mistakes may disappear without a change of the configuration, so that a
/// service manager retries; otherwise 2.
fn refuse(mistakes: &[Mistake]) -> ExitCode {
    let listed: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    let listed = listed.join("\n");
    if mistakes.iter().all(|mistake| mistake.passing) {
        print_error(&format!(
            "{listed}\ntlsramp: not started; the problems above can disappear without a change of the configuration, \
             so try again later"
        ));
        return ExitCode::FAILURE;
    }
    let count = mistakes.len();
    let noun = if count == 1 { "mistake" } else { "mistakes" };
    print_error(&format!("{listed}\ntlsramp: not started; {count} {noun} in the configuration"));
    ExitCode::from(EXIT_USAGE)
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    print_error(&format!("tlsramp: {error}"));
    ExitCode::FAILURE
}

/// Prints to standard error. Write errors are ignored: a closed standard error is no reason to fail.
fn print_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// Exit code of a usage or configuration error.
const EXIT_USAGE: u8 = 2;

/// The remedy if the kernel refuses a thread or a descriptor.
const MORE: &str = "raise the limit of threads (ulimit -u, TasksMax=, the pids limit of a container) or of descriptors \
    (ulimit -n, LimitNOFILE=)";
