//! A small MongoDB server, so that the demo and the tests do not need mongod.
//!
//! | file | contents |
//! |---|---|
//! | `server` | listening, connections, stopping |
//! | `commands` | the commands by name |
//! | `store` | documents in memory, bounded |
//! | `filter` | queries by equality |
//! | `cursors` | results in batches |
//! | `counters` | counters of connections and commands |
//!
//! To pymongo, mongosh and the Rust driver it is a standalone mongod 6.0 without authentication, sessions, compression
//! and storage. It has no TLS, since it represents a server without TLS. Unsupported features are refused with an error
//! that names them, so that a test cannot pass by accident.

mod commands;
mod counters;
mod cursors;
mod filter;
mod server;
mod store;

pub use server::{StandIn, StandInHandle};
