//! Observation of connections: a [`Record`] for each, closed exactly once; the table of open connections; the
//! destinations of outbound routes; the inventory of clients; metrics; and logs that neither block nor can be flooded.

mod access_log;
mod connection_info;
mod ended_connection;
mod inventory;
mod links;
mod log;
mod log_writer;
mod metrics;
mod open_connections;
mod outcome;
mod process;
mod queued_connections;
mod rate_limit;
mod record;
mod recycle_signal;

pub use connection_info::{ClientTls, ConnectionInfo, RouteRecord, UpstreamInfo};
pub use inventory::{
    AcceptError, BlockingClient, ClientIdentity, Inventory, InventoryImage, InventoryRow, Scope, Transport, now_millis,
};
pub use links::{LinkFailure, LinkKey, LinkRecord, RedirectedTo};
pub use log::{LogHandle, init as init_logs};
pub use metrics::{CertificateEnd, Format, LinkUp, Metrics, SlotGauges, UpstreamUp};
pub use open_connections::OpenConnection;
pub use outcome::{Outcome, OutcomeSource};
pub use queued_connections::QueuedConnection;
pub use rate_limit::RateLimit;
pub use record::{ConnectionVerdict, Observer, OpenRecord, Record};
pub use recycle_signal::{RecycleRegistration, RecycleRequest};
