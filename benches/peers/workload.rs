//! The workloads, and the goals.

use std::time::Duration;

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) key: &'static str,
    /// The row's title, with the unit.
    pub(crate) title: &'static str,
    pub(crate) tls: bool,
    pub(crate) unit: Unit,
    /// Arguments of `tlsramp load`.
    pub(crate) args: &'static [&'static str],
    /// Number of concurrent clients.
    pub(crate) connections: &'static str,
    /// The highest acceptable cost of tlsramp, relative to the best peer's.
    pub(crate) goal: f64,
    /// The same beside the best of the peers that log their connections.
    pub(crate) goal_beside_logs: Option<f64>,
}

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Microseconds of processor time per operation.
    Operation,
    /// Seconds of processor time per 10^9 bytes.
    Gigabyte,
    /// Thousands of bytes of memory per idle connection: the proportional set size of a fresh process.
    Memory,
}

impl Workload {
    /// Whether each operation is a connection.
    pub(crate) fn is_per_connection(&self) -> bool {
        self.args[0] == "connect"
    }

    pub(crate) fn warm_up(&self) -> Duration {
        match self.unit {
            Unit::Operation | Unit::Gigabyte => Duration::from_secs(1),
            // The connections are opened in the first half of this time.
            Unit::Memory => Duration::from_secs(6),
        }
    }

    /// The duration of one measurement; `span` is the requested one.
    pub(crate) fn duration(&self, span: Duration) -> Duration {
        match self.unit {
            Unit::Operation | Unit::Gigabyte => span,
            Unit::Memory => Duration::from_millis(200),
        }
    }
}

/// All workloads, in the order of the table's rows.
pub(crate) const WORKLOADS: [Workload; 9] = [
    Workload {
        key: "full-handshake",
        title: "full handshake, us",
        tls: true,
        unit: Unit::Operation,
        args: &["connect", "--command", "echo"],
        connections: "16",
        goal: 0.62,
        goal_beside_logs: None,
    },
    Workload {
        key: "resumed-handshake",
        title: "resumed handshake, us",
        tls: true,
        unit: Unit::Operation,
        args: &["connect", "--command", "echo", "--resume"],
        connections: "16",
        goal: 0.58,
        goal_beside_logs: None,
    },
    Workload {
        key: "tls-request",
        title: "TLS request/response, us",
        tls: true,
        unit: Unit::Operation,
        args: &["echo"],
        connections: "32",
        goal: 0.82,
        goal_beside_logs: None,
    },
    Workload {
        key: "tls-bulk",
        title: "TLS bulk, s/GB",
        tls: true,
        unit: Unit::Gigabyte,
        args: &["bulk", "--response", BULK],
        connections: "8",
        goal: 0.80,
        goal_beside_logs: None,
    },
    Workload {
        key: "plain-connect",
        title: "plaintext connect + one request, us",
        tls: false,
        unit: Unit::Operation,
        args: &["connect", "--command", "echo"],
        connections: "16",
        goal: 1.00,
        goal_beside_logs: Some(0.90),
    },
    Workload {
        key: "plain-request",
        title: "plaintext request/response, us",
        tls: false,
        unit: Unit::Operation,
        args: &["echo"],
        connections: "32",
        goal: 0.98,
        goal_beside_logs: None,
    },
    Workload {
        key: "plain-bulk",
        title: "plaintext bulk, s/GB",
        tls: false,
        unit: Unit::Gigabyte,
        args: &["bulk", "--response", BULK],
        connections: "8",
        goal: 0.75,
        goal_beside_logs: None,
    },
    Workload {
        key: "tls-idle",
        title: "idle TLS connection, KB",
        tls: true,
        unit: Unit::Memory,
        args: &["idle", "--command", "echo"],
        connections: "2000",
        goal: 0.35,
        goal_beside_logs: None,
    },
    Workload {
        key: "plain-idle",
        title: "idle plaintext connection, KB",
        tls: false,
        unit: Unit::Memory,
        args: &["idle", "--command", "echo"],
        connections: "2000",
        goal: 0.50,
        goal_beside_logs: None,
    },
];

/// Bytes of an answer. It takes a short time compared to the measurement, so that unfinished answers do not matter.
const BULK: &str = "4194304";
