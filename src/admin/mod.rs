//! The admin port: MongoDB commands and HTTP, on TCP and on a Unix socket, and the health probe port. It translates
//! between requests and the control plane; its only own decision is which callers may request what.
//!
//! | file | contents |
//! |---|---|
//! | [`listener`] | opening and closing the listeners; accepting |
//! | [`connection_limit`] | the number of connections, and which one is evicted for a new one |
//! | [`serve`] | the life of one connection |
//! | [`connection`] | a connection whose client is identified |
//! | [`state`] | the state that all connections share |
//! | [`access`] | which callers may request what, and the texts for the others |
//! | [`protocol`] | detection of MongoDB or HTTP by the first four bytes |
//! | [`mongo`] | MongoDB commands |
//! | [`http`] | HTTP paths |
//! | [`requests`], [`replies`] | the JSON of requests and replies, and its conversion from the control plane's types |
//! | [`log_limit`] | the bound on log lines that unauthenticated peers cause |

mod access;
mod connection;
mod connection_limit;
mod http;
mod listener;
mod log_limit;
mod mongo;
mod protocol;
pub mod replies;
pub mod requests;
mod serve;
mod state;

pub use listener::{AdminServer, BoundServer};
