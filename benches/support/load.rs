//! Makes one measurement: runs `tlsramp load` against a port, with the processor time of given processes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::process;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Load<'a> {
    /// The load generator, which is always the one of this build.
    pub(crate) program: &'a Path,
    /// A command that starts the program, for example on certain cores; empty for none.
    pub(crate) launcher: &'a [&'a str],
    /// Workload and options, except target, times and TLS.
    pub(crate) args: &'a [&'a str],
    pub(crate) port: u16,
    /// The CA; set if the clients use TLS 1.3.
    pub(crate) ca: Option<&'a Path>,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// The processes whose processor time and memory are reported.
    pub(crate) processes: &'a [i32],
}

/// The fields of `tlsramp load --json` that the benches read.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) operations: u64,
    pub(crate) operations_per_second: f64,
    pub(crate) seconds: f64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) latency: Latency,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) cpu: Option<Cpu>,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cpu {
    pub(crate) user_seconds: f64,
    pub(crate) system_seconds: f64,
    pub(crate) micros_per_operation: Option<f64>,
    pub(crate) seconds_per_gigabyte: Option<f64>,
    pub(crate) bytes_per_connection: Option<f64>,
}

impl Load<'_> {
    pub(crate) fn command_line(&self) -> Vec<String> {
        let mut line: Vec<String> = vec!["load".into()];
        line.extend(self.args.iter().map(|&arg| arg.to_owned()));
        line.extend(["--json".into(), "--target".into(), format!("127.0.0.1:{}", self.port)]);
        let millis = |time: Duration| format!("{}ms", time.as_millis());
        line.extend(["--warmUp".into(), millis(self.warm_up), "--duration".into(), millis(self.duration)]);
        if let Some(ca) = self.ca {
            line.extend(["--tls".into(), "--tlsVersion".into(), "1.3".into()]);
            line.extend(["--tlsCAFile".into(), ca.display().to_string()]);
        }
        line.extend(self.processes.iter().flat_map(|pid| ["--cpu-of".to_owned(), pid.to_string()]));
        line
    }

    /// # Errors
    /// The load generator did not run, or no operation succeeded.
    pub(crate) fn run(&self) -> Result<Report, String> {
        let mut words = self.launcher.iter().map(OsStr::new).chain([self.program.as_os_str()]);
        let mut command = process::tethered(words.next().unwrap_or_default());
        command.args(words).args(self.command_line());
        let output = process::output(command, self.warm_up + self.duration + PATIENCE)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        let report: Report =
            serde_json::from_str(&text).map_err(|error| format!("tlsramp load: {error}: {}", said.trim()))?;
        if report.operations == 0 {
            let errors =
                if report.errors.is_empty() { "no operation ended in time".into() } else { report.errors_text() };
            return Err(format!("nothing succeeded: {errors}"));
        }
        Ok(report)
    }
}

impl Report {
    /// Gigabytes per second, sum of both directions.
    pub(crate) fn gigabytes_per_second(&self) -> f64 {
        (self.bytes_sent + self.bytes_received) as f64 / self.seconds / 1e9
    }

    /// The number of failures.
    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    pub(crate) fn errors_text(&self) -> String {
        let lines: Vec<String> = self.errors.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        lines.join(", ")
    }
}

/// Time for the last operations, including a client that receives no answer.
const PATIENCE: Duration = Duration::from_secs(60);
