//! What is known of connections: one [`Record`] each, closed exactly once; the table of those that are open, and that of
//! the destinations they were dialled to; the counts by [`Outcome`], as logs and metrics tell them; and logs that can neither block nor flood.

mod connection_info;
mod inventory;
mod lines;
mod links;
mod log;
mod metrics;
mod open_connections;
mod outcome;
mod process;
mod rate_limit;
mod record;
mod recycling;

pub use connection_info::{ClientTls, ConnectionInfo, RouteRecord, UpstreamInfo};
pub use inventory::{
    BlockingClient, ClientIdentity, Inventory, InventoryImage, InventoryRow, Scope, Transport, now_millis,
};
pub use links::{LinkFailure, LinkKey, LinkRecord, RedirectedTo};
pub use log::{LogHandle, init as init_logs};
pub use metrics::{CertificateEnd, Format, LinkUp, Metrics, SlotCounts, UpstreamUp};
pub use open_connections::OpenConnection;
pub use outcome::{Outcome, OutcomeSource};
pub use record::{ConnectionVerdict, Observer, OpenRecord, Record};
pub use recycling::{RecycleRegistration, RecycleRequest};
