//! What is known of connections: one [`Record`] each, closed exactly once; the table of those that are open, and that of
//! the destinations they were dialled to; the counts by [`Outcome`], as logs and metrics tell them; and logs that can neither block nor flood.

mod inventory;
mod known;
mod limiter;
mod lines;
mod links;
mod live;
mod log;
mod metrics;
mod outcome;
mod process;
mod record;
mod recycling;

pub use inventory::{BadKey, Identity, Inventory, InventoryImage, Kind, Scope, Seat, Seen, Unmoved, now_millis};
pub use known::{ClientTls, Known, Reached, RouteRecord};
pub use links::{LinkFailure, LinkKey, LinkRecord, Links, RedirectedTo};
pub use live::{Counters, Live, Open};
pub use log::{LogHandle, init as init_logs};
pub use metrics::{CertificateEnd, Format, LinkUp, Metrics, RouteMetrics, Scrape, SlotCounts, UpstreamUp};
pub use outcome::{Fault, Outcome};
pub use record::{Judged, Observer, OpenRecord, Record};
pub use recycling::{Recycling, Seen as SeenRecycling, Wish};
