//! The data plane. A connection is one straight line:
//!
//! ```text
//! accepted -> sniffed -> judged -> (TLS terminated) -> dialled -> relayed -> recorded
//! ```
//!
//! [`crate::route`] says where a listener leads; [`Server`] runs the workers and their listeners. Nothing here can
//! change the policy: it holds a reader.

mod admit;
mod connection;
mod establish;
mod failure;
mod handed_over;
mod leg;
mod moving;
mod reach;
mod refuse;
mod route;
mod server;
mod watcher;

pub use server::{OpenRoute, Parts, Pulse, Server};
