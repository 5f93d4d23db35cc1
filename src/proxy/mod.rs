//! The data plane. A connection is one straight line:
//!
//! ```text
//! accepted -> sniffed -> judged -> (TLS terminated) -> dialled -> relayed -> recorded
//! ```
//!
//! [`crate::route`] says where a listener leads; [`ProxyServer`] runs the workers and their listeners. Nothing here can
//! change the policy: it holds a reader.

mod client_leg;
mod connection;
mod establish;
mod failure;
mod interception;
mod leg;
mod recycle;
mod refusal;
mod route;
mod server;
mod upstream_leg;
mod watcher;

pub use server::{OpenRoute, ProxyContext, ProxyServer, WorkerHealth};
