//! A client of the admin port for `ctl`, `rollout` and `demo`: one connection per request, bounded waits, typed
//! replies.
//!
//! | file | content |
//! |---|---|
//! | [`client`] | the requests |
//! | [`address`], [`options`] | the address of an admin port; the TLS options, named as in mongosh |
//! | [`connect`] | connecting by TCP, TLS or a Unix socket |
//! | [`exchange`] | one HTTP request |
//! | [`answer`] | replies: parsed, and as JSON |
//! | [`printed`] | commands to print for an operator |
//! | [`error`] | errors, with remedies |
//!
//! Any answer that is not tlsramp's is an error. Nothing is retried, since a change must not be made twice.

mod address;
mod answer;
mod client;
mod connect;
mod error;
mod exchange;
pub(crate) mod options;
mod printed;
#[cfg(test)]
mod tests;

pub use address::AdminAddress;
pub use answer::{Answer, Clients, Connections};
pub use client::AdminClient;
pub use error::ClientError;
pub use options::{tls_options, with_tls_options};
pub use printed::{ctl_command, quoted};
