//! What is known of connections: one [`Record`] each, closed exactly once; the table of those that are open; the
//! counts by [`Outcome`]; and logs that can neither block nor flood.

mod limiter;
mod live;
mod log;
mod outcome;
mod record;

pub use live::{Live, Open};
pub use log::{LogHandle, init as init_logs};
pub use outcome::{Fault, Outcome};
pub use record::{Observer, Record};
