//! HTTP/1 at the admin port: JSON, three probes, OpenMetrics. It has no pages, scripts or CORS, so that pages of other sites
//! can neither read nor change anything by a browser.
//!
//! | file | content |
//! |---|---|
//! | [`server`] | a connection, and the checks of each request |
//! | [`routes`] | the table of paths, with methods and query parameters |
//! | [`hosts`] | `Host` and `Origin` |
//! | [`body`] | request bodies |
//! | [`queries`], [`changes`] | the handlers |
//! | [`reply`] | replies and errors |

mod body;
mod changes;
mod hosts;
mod queries;
mod reply;
mod routes;
mod server;

pub(super) use server::serve;
