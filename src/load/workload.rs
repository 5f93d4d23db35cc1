//! The operations of a measurement, and the request of each operation.

/// The sequence of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workload {
    /// A new connection for each request.
    Connect,
    /// Requests on open connections.
    Ping,
    /// Requests of the echo protocol on open connections.
    Echo,
    /// Large answers.
    Bulk,
    /// Connections that wait after one request.
    Idle,
    /// Requests on open connections, of which every tenth uses a new connection.
    Mixed,
}

impl Workload {
    pub(super) const ALL: [Workload; 6] =
        [Workload::Connect, Workload::Ping, Workload::Echo, Workload::Bulk, Workload::Idle, Workload::Mixed];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Workload::Connect => "connect",
            Workload::Ping => "ping",
            Workload::Echo => "echo",
            Workload::Bulk => "bulk",
            Workload::Idle => "idle",
            Workload::Mixed => "mixed",
        }
    }
}

/// The request of each operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoadRequest {
    Ping,
    Hello,
    Insert { bytes: u32 },
    Echo { request: u32, response: u32 },
}

impl LoadRequest {
    pub(super) fn text(self) -> String {
        match self {
            LoadRequest::Ping => "ping".into(),
            LoadRequest::Hello => "hello".into(),
            LoadRequest::Insert { bytes } => format!("insert of {bytes} B"),
            LoadRequest::Echo { request, response } => format!("{request} B / {response} B"),
        }
    }
}
