//! HTTP/1 at the admin port: JSON, three health probes, OpenMetrics. There are no pages, scripts or CORS headers, so
//! that pages of other sites can neither read nor change anything through a browser.
//!
//! | file | contents |
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
