//! What monitoring reads: counts and latencies since the start, and what is so now.
//!
//! The data plane adds to [`RouteMetrics`] and [`Metrics`] by atomics alone. Whoever answers a scrape begins a
//! [`Scrape`], fills in what only the control plane knows, and gets the text. Nothing here opens a port, and no label
//! has a value that a client chose: labels are routes and servers of the configuration, closed lists, and the addresses
//! that the local server dials, which are bounded.

mod histogram;
mod keeper;
mod page;
mod route;
mod scrape;
#[cfg(test)]
mod tests;
mod writer;

pub use keeper::Metrics;
pub use route::RouteMetrics;
pub use scrape::{CertificateEnd, LinkUp, SlotCounts, UpstreamUp};
pub use writer::Format;
