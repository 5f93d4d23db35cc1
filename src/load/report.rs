//! The result of a measurement, as text and as JSON. Only formats it: no input or output.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::args::LoadArgs;
use super::measurements::Measurements;
use super::process_usage::ProcessUsage;
use super::workload::{LoadRequest, Workload};

/// The result of a measurement. Latencies are in microseconds, sizes in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    workload: &'static str,
    request: String,
    target: String,
    connections: usize,
    tls_connections: usize,
    /// Operations per second that were requested in an open loop.
    rate: Option<u32>,
    /// Whether the requests are of the echo protocol.
    #[serde(skip)]
    is_echo: bool,
    seconds: f64,
    pub(super) operations: u64,
    operations_per_second: f64,
    bytes_sent: u64,
    bytes_received: u64,
    latency: Latency,
    errors: BTreeMap<String, u64>,
    /// Processor time and memory of the processes under test.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Latency {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cpu {
    processes: Vec<i32>,
    user_seconds: f64,
    system_seconds: f64,
    /// User and system time per operation, in microseconds.
    micros_per_operation: Option<f64>,
    seconds_per_gigabyte: Option<f64>,
    /// Growth of the proportional set size per connection, in bytes.
    bytes_per_connection: Option<f64>,
}

impl Report {
    pub(super) fn of(args: &LoadArgs, measurements: &Measurements, used: ProcessUsage, grown: u64) -> Report {
        let seconds = args.duration.as_secs_f64();
        let operations = measurements.operations();
        Report {
            workload: args.workload.name(),
            request: args.request.text(),
            target: args.target.to_string(),
            connections: args.connections,
            tls_connections: args.tls_connections,
            rate: args.rate,
            is_echo: matches!(args.request, LoadRequest::Echo { .. }),
            seconds,
            operations,
            operations_per_second: operations as f64 / seconds,
            bytes_sent: measurements.transferred.sent,
            bytes_received: measurements.transferred.received,
            latency: Latency {
                mean: micros(measurements.mean()),
                p50: micros(measurements.percentile(50.0)),
                p90: micros(measurements.percentile(90.0)),
                p99: micros(measurements.percentile(99.0)),
                p999: micros(measurements.percentile(99.9)),
                max: micros(measurements.longest()),
            },
            errors: measurements.errors.clone(),
            cpu: (!args.cpu_of.is_empty()).then(|| Cpu::of(args, measurements, used, grown)),
        }
    }

    pub(super) fn json(&self) -> String {
        // All keys are strings, so serialization does not fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl Cpu {
    fn of(args: &LoadArgs, measurements: &Measurements, used: ProcessUsage, grown: u64) -> Cpu {
        let (operations, bytes) = (
            measurements.operations() as f64,
            (measurements.transferred.sent + measurements.transferred.received) as f64,
        );
        let spent = used.processor().as_secs_f64();
        let per =
            |count: f64, unit: f64| (count > 0.0 && args.workload != Workload::Idle).then(|| spent / count * unit);
        Cpu {
            processes: args.cpu_of.clone(),
            user_seconds: used.user.as_secs_f64(),
            system_seconds: used.system.as_secs_f64(),
            micros_per_operation: per(operations, 1e6),
            seconds_per_gigabyte: per(bytes, 1e9),
            bytes_per_connection: (args.workload == Workload::Idle && operations > 0.0)
                .then(|| grown as f64 / operations),
        }
    }
}

impl Report {
    /// A likely cause if no operation succeeded.
    fn hint(&self) -> Option<&'static str> {
        if self.operations > 0 {
            None
        } else if self.is_echo {
            Some("echo and bulk need a server that runs tlsramp load --serve; for a mongod, omit the workload")
        } else if self.tls_connections == 0 {
            Some("a server that requires TLS closes plaintext connections: try --tls --tlsCAFile FILE")
        } else {
            None
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plaintext = self.connections - self.tls_connections;
        let pace = self.rate.map_or_else(|| "closed loop".to_owned(), |rate| format!("{rate}/s requested"));
        writeln!(
            f,
            "{} of {} at {}: {} TLS, {plaintext} plaintext, {pace}, {:.1} s",
            self.workload, self.request, self.target, self.tls_connections, self.seconds
        )?;
        writeln!(f, "operations  {}  {:.1}/s", self.operations, self.operations_per_second)?;
        let Latency { mean, p50, p90, p99, p999, max } = self.latency;
        let times = [("mean", mean), ("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p999), ("max", max)];
        let times = times.map(|(name, time)| format!("{name} {}", time_text(time)));
        writeln!(f, "latency     {}", times.join("  "))?;
        let rate = |bytes: u64| bytes as f64 / self.seconds / 1e6;
        writeln!(
            f,
            "bytes       {:.2} MB/s sent  {:.2} MB/s received",
            rate(self.bytes_sent),
            rate(self.bytes_received)
        )?;
        if let Some(cpu) = &self.cpu {
            writeln!(f, "cpu         {cpu}")?;
        }
        for (kind, count) in &self.errors {
            writeln!(f, "failed      {count}  {kind}")?;
        }
        if let Some(hint) = self.hint() {
            writeln!(f, "hint        {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s user  {:.2} s system", self.user_seconds, self.system_seconds)?;
        if let Some(micros) = self.micros_per_operation {
            write!(f, "  {micros:.1} us per operation")?;
        }
        if let Some(seconds) = self.seconds_per_gigabyte {
            write!(f, "  {seconds:.2} s per GB")?;
        }
        if let Some(bytes) = self.bytes_per_connection {
            write!(f, "  {:.1} KB per connection", bytes / 1e3)?;
        }
        Ok(())
    }
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

fn time_text(micros: f64) -> String {
    if micros < 1e3 {
        format!("{micros:.0} us")
    } else if micros < 1e6 {
        format!("{:.2} ms", micros / 1e3)
    } else {
        format!("{:.2} s", micros / 1e6)
    }
}
