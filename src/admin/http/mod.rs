//! HTTP/1 at the admin port: the page, JSON, server-sent events, health probes, OpenMetrics. There are no CORS
//! headers, so that pages of other sites can neither read nor change anything through a browser.
//!
//! | file | contents |
//! |---|---|
//! | [`server`] | a connection, and the checks of each request |
//! | [`routes`] | the table of paths, with methods and query parameters |
//! | [`hosts`] | `Host`, `Origin` and `Sec-Fetch-Site` |
//! | [`body`] | request bodies |
//! | [`queries`], [`changes`] | the handlers |
//! | [`page`] | the files of the page |
//! | [`events`], [`event_body`] | the stream of events to an open page |
//! | [`feed`], [`samples`] | the events and samples that all open pages share |
//! | [`sampler`] | makes these events and samples while a page is open |
//! | [`reply`] | replies and errors |

mod body;
mod changes;
mod event_body;
mod events;
mod feed;
mod hosts;
mod page;
mod queries;
mod reply;
mod routes;
mod sampler;
mod samples;
mod server;

pub(super) use feed::Feed;
pub(super) use server::serve;
