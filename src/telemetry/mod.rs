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

pub use connection_info::{ClientTls, Known, Reached, RouteRecord};
pub use inventory::{BadKey, Identity, Inventory, InventoryImage, Kind, Scope, Seat, Seen, Unmoved, now_millis};
pub use links::{LinkFailure, LinkKey, LinkRecord, Links, RedirectedTo};
pub use log::{LogHandle, init as init_logs};
pub use metrics::{CertificateEnd, Format, LinkUp, Metrics, RouteMetrics, Scrape, SlotCounts, UpstreamUp};
pub use open_connections::{Counters, Live, Open};
pub use outcome::{Fault, Outcome};
pub use record::{Judged, Observer, OpenRecord, Record};
pub use recycling::{Recycling, Seen as SeenRecycling, Wish};
