//! The admin port: MongoDB commands and HTTP, on TCP and on its Unix socket, and the probes' own port. It translates
//! requests for the control plane and replies to them; of itself it decides only which callers may ask for what.
//!
//! | file | contents |
//! |---|---|
//! | [`listener`] | opening and closing the listeners; accepting |
//! | [`connection_limit`] | how many connections there may be, and which are closed for new ones |
//! | [`serve`] | one connection, from its first byte to its last |
//! | [`connection`] | a connection whose client is known |
//! | [`state`] | the state that all connections share |
//! | [`access`] | which callers may do what, and how others are refused |
//! | [`protocol`] | telling MongoDB from HTTP by the first four bytes |
//! | [`mongo`] | MongoDB commands |
//! | [`http`] | HTTP paths |
//! | [`requests`], [`replies`] | the JSON of requests and replies, and how it is made of the control plane's types |
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
