//! A small MongoDB server, so that the demo and the tests need no mongod.
//!
//! | file | content |
//! |---|---|
//! | `server` | listening, connections, stopping |
//! | `commands` | the commands by name |
//! | `store` | documents in memory, bounded |
//! | `filter` | queries by equality |
//! | `cursors` | results in batches |
//! | `counters` | counters of connections and commands |
//!
//! To pymongo, mongosh and the Rust driver it is a standalone mongod 6.0, without TLS (it stands for the server that has
//! none), authentication, sessions, compression and storage. It refuses whatever it does not support by name, so that a
//! test that passes with it is meaningful.

mod commands;
mod counters;
mod cursors;
mod filter;
mod server;
mod store;

pub use counters::StandInCounters;
pub use server::{StandIn, StandInHandle};
