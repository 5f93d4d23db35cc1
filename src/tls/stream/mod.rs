//! TLS streams without buffers of their own, on rustls' unbuffered API, which nothing outside of this module uses.
//!
//! Records are processed in buffers of the worker thread. A stream keeps only what is incomplete: a part of a record,
//! plaintext that the reader had no room for, records that the socket did not take. So an idle connection costs its keys; a
//! stream with buffers needs three to eight times as much.

pub(crate) mod buffers;
pub(crate) mod quota;
pub(crate) mod session;
#[cfg(test)]
mod tests;
pub(crate) mod tls_stream;
