//! TLS streams without buffers of their own, on top of rustls' unbuffered API, which is used in this module only.
//!
//! Records are processed in buffers of the worker thread. A stream keeps only remainders: an incomplete record,
//! plaintext that did not fit into the reader's buffer, and records that the socket did not accept. An idle connection
//! therefore costs only its keys; a stream with buffers needs three to eight times as much memory.

pub(crate) mod buffers;
pub(crate) mod quota;
pub(crate) mod session;
#[cfg(test)]
mod tests;
pub(crate) mod tls_stream;
pub(crate) mod turn;
