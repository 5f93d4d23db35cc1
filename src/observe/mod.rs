//! What is known of connections: one [`Record`] each, closed exactly once; the table of those that are open; the
//! counts by [`Outcome`]; and logs that can neither block nor flood.

mod inventory;
mod limiter;
mod live;
mod log;
mod outcome;
mod record;

pub use inventory::{BadKey, Identity, Inventory, InventoryImage, Kind, Seat, Seen, Unmoved, now_millis};
pub use live::{Live, Open};
pub use log::{LogHandle, init as init_logs};
pub use outcome::{Fault, Outcome};
pub use record::{Observer, Record};
