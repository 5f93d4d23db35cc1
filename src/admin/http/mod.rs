//! The door for HTTP/1: JSON for people and programs, three probes, OpenMetrics. No page, no script, no CORS: a browser
//! that was led here can neither read nor write anything.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | [`server`] | a connection; a request through all checks |
//! | [`routes`] | the paths, and the query parameters of each |
//! | [`hosts`] | whether a request is meant for us: `Host` and `Origin` |
//! | [`body`] | a bounded body, and the JSON in it |
//! | [`queries`], [`changes`] | what each path does |
//! | [`reply`] | answers and errors |

mod body;
mod changes;
mod hosts;
mod queries;
mod reply;
mod routes;
mod server;

pub(super) use server::serve;
