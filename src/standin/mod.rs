//! A small server that speaks MongoDB's wire protocol, so that the demo and the tests need no mongod.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | `server` | listening, connections, stopping |
//! | `commands` | the commands it knows, by name |
//! | `store` | documents in memory, and the bounds on them |
//! | `filter` | which documents a query means: equality only |
//! | `cursors` | results handed out in batches |
//! | `counters` | what it has served |
//!
//! It looks like a standalone mongod 6.0 to pymongo, mongosh and the Rust driver, as far as that: no TLS of its own (it
//! stands for the server that has none), no authentication, no sessions, no compression, nothing on disk. What it does
//! not know it refuses by name rather than guess: a test that passes here must mean something.

mod commands;
mod counters;
mod cursors;
mod filter;
mod server;
mod store;

pub use server::{Handle, StandIn};
