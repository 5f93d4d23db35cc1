//! Telling TLS from plaintext by the first bytes, which stay in the kernel for whoever comes next.
//!
//! [`classify()`] is the rule, pure; [`sniff`] is the wait around it; [`ClientHello`] is what a ClientHello says of
//! itself, for the record, and to name one that is too old.

mod classify;
mod client_hello;
mod peek;

pub use classify::{Class, classify};
pub use client_hello::ClientHello;
pub use peek::{SniffError, Sniffed, sniff};
