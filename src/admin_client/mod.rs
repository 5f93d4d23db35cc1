//! A client of the admin port, which the commands share: one connection a question, every wait bounded, every answer
//! typed.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | [`client`] | the questions and what they answer |
//! | [`address`], [`options`] | where the admin port is; TLS there, as mongosh names it |
//! | [`link`] | the connection: TCP, TLS, a Unix socket |
//! | [`exchange`] | one request and its answer, by HTTP |
//! | [`answer`] | an answer: the bytes as they came, and what they say |
//! | [`printed`] | commands for an operator to run, with the options that reach the admin port |
//! | [`error`] | what can go wrong, in words that say what to do |
//!
//! It refuses to guess: what does not answer as tlsramp does is an error, not an empty answer. It tries nothing twice,
//! since a change must not be made twice.

mod address;
mod answer;
mod client;
mod error;
mod exchange;
mod link;
mod options;
mod printed;
#[cfg(test)]
mod tests;

pub use address::AdminAddress;
pub use answer::{Answer, Clients, Connections};
pub use client::AdminClient;
pub use error::ClientError;
pub use options::{TlsOptions, tls_options, with_tls_options};
pub use printed::{ctl_command, quoted};
