//! Measures the cost of a connection and of a request at a given number of open connections.

use std::fmt::Write as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use procfs::process::Process;

use super::options::Options;
use super::support::{Certs, Load, Report, Running, Scratch, tlsramp};

/// One line of the table.
#[derive(Debug)]
struct Line {
    open: usize,
    tls: bool,
    /// The proxy's memory per open connection, in bytes. `None` for few connections, since pages would dominate it.
    memory: Option<f64>,
    /// A new connection with one request while the other connections are idle.
    connect: Report,
    /// A request on one of a few connections while the others are idle.
    request: Report,
    /// A request while all connections make requests.
    all: Report,
}

/// Makes the measurements and formats the table as Markdown.
pub(crate) fn measure(options: &Options, certs: &Certs, most: usize) -> Result<String, String> {
    let mut text = "## Costs at so many open connections\n\nProcessor time of the proxy (p99 of the operation); memory is \
                    proportional set size, of a fresh process.\n\n\
                    | open | by | an open one, KB | new connection, us | request on one of 10 (others idle), us | request, all ask, us |\n\
                    |---:|---|---:|---:|---:|---:|\n"
        .to_owned();
    for size in &options.sizes {
        let size = (*size).min(most);
        for tls in [true, false] {
            eprintln!("scale: {size} open connections, {}", by(tls));
            let line = line(options, certs, size, tls)?;
            let _ = writeln!(text, "{}", line.text());
        }
    }
    Ok(text)
}

fn line(options: &Options, certs: &Certs, open: usize, tls: bool) -> Result<Line, String> {
    let folder = Scratch::new("scale");
    let (_server, upstream) = tlsramp::serve(None, folder.path())?;
    let (proxy, places) = tlsramp::proxy(&options.tlsramp, certs, upstream, "preferSSL", &ARGS, folder.path())?;
    let program = tlsramp::program();
    let ca: Option<&Path> = tls.then_some(&certs.ca);
    let processes = proxy.family();
    let count = open.to_string();
    let load = |args, warm_up, duration| Load {
        program: &program,
        launcher: &[],
        args,
        port: places.port,
        ca,
        warm_up,
        duration,
        processes: &processes,
    };
    let few = Duration::from_secs(1);
    let idle = ["idle", "--command", "echo", "--connections", &count];
    let memory = load(&idle, opening(open), Duration::from_millis(200)).run()?;
    let (connect, request) = {
        let holding = load(&idle, opening(open), Duration::from_secs(3600)).command_line();
        let holder = Running::start("holder", &program, &holding, folder.path())?;
        wait_open(&proxy, open, opening(open) + PATIENCE)?;
        let connect = load(&["connect", "--command", "echo", "--connections", "10"], few, options.span).run()?;
        let request = load(&["echo", "--connections", "10"], few, options.span).run()?;
        drop(holder);
        (connect, request)
    };
    // Long enough for several answers on each connection, even on a slow machine.
    let all = load(&["echo", "--connections", &count], opening(open), options.span + opening(open) / 3).run()?;
    let failed: u64 = [&memory, &connect, &request, &all].iter().map(|report| report.failed()).sum();
    if failed > 0 {
        return Err(format!("{open} open, {}: {failed} operations failed: {}", by(tls), all.errors_text()));
    }
    let memory = memory.cpu.and_then(|cpu| cpu.bytes_per_connection).filter(|_| open >= MANY);
    Ok(Line { open, tls, memory, connect, request, all })
}

/// Waits until the proxy has two descriptors for each connection.
pub(crate) fn wait_open(proxy: &Running, connections: usize, limit: Duration) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    loop {
        let process = Process::new(proxy.id()).map_err(|error| error.to_string())?;
        let descriptors = process.fd_count().map_err(|error| error.to_string())?;
        if descriptors >= 2 * connections {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{descriptors} descriptors of the proxy are not {connections} connections"));
        }
        sleep(Duration::from_millis(50));
    }
}

/// Time in which the connections are opened: `tlsramp load` spreads them over half of it. Two busy cores can do more
/// than a thousand handshakes per second.
pub(crate) fn opening(connections: usize) -> Duration {
    Duration::from_secs(2) + Duration::from_millis(2 * connections as u64)
}

impl Line {
    fn text(&self) -> String {
        let cost = |report: &Report| {
            let micros = report.cpu.as_ref().and_then(|cpu| cpu.micros_per_operation);
            let micros = micros.map_or("-".into(), |micros| format!("{micros:.1}"));
            format!("{micros} ({:.1} ms)", report.latency.p99 / 1e3)
        };
        let memory = self.memory.map_or("-".into(), |bytes| format!("{:.1}", bytes / 1e3));
        let (connect, request, all) = (cost(&self.connect), cost(&self.request), cost(&self.all));
        format!("| {} | {} | {memory} | {connect} | {request} | {all} |", self.open, by(self.tls))
    }
}

fn by(tls: bool) -> &'static str {
    if tls { "TLS" } else { "plaintext" }
}

/// With fewer connections, their memory would consist mostly of unfilled pages.
const MANY: usize = 100;
/// The proxy accepts as many connections as its descriptors allow.
pub(crate) const ARGS: [&str; 2] = ["--workers", "2"];
/// Longer than opening the connections takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);
