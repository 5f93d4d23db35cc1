//! Metrics: counts and latencies since the start, and gauges.
//!
//! For a connection, the data plane updates [`RouteMetrics`] and [`Metrics`] with atomic operations only. A scrape
//! begins with a [`scrape::Scrape`], to which the control plane adds its gauges, and is then encoded as text. No client
//! can choose the value of a label: values are routes and servers of the configuration, entries of closed lists, and
//! the destinations that the local server dials, whose number is bounded.

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
pub use scrape::{CertificateEnd, LinkUp, SlotGauges, UpstreamUp};
pub use writer::Format;
