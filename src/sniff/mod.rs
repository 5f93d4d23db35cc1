//! Distinguishes TLS from plaintext by the first bytes, which stay in the kernel's receive buffer for the next reader.
//!
//! [`classify()`] is a pure function of the bytes; [`sniff`] waits for enough bytes; [`ClientHello`] holds the parsed
//! ClientHello, for the record and to detect clients whose TLS is too old.

mod classify;
mod client_hello;
mod peek;

pub use classify::{Class, classify};
pub use client_hello::ClientHello;
pub use peek::{SniffError, Sniffed, sniff, sniff_first};
