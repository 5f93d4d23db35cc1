//! Entry points for fuzzing: one function per parser of untrusted bytes, each with the properties that must hold for
//! every input. The targets in `fuzz/` call them with libFuzzer; the tests here call them with the seeds, with
//! mutations of the seeds and with every input that has ever failed, so that no nightly compiler is needed.
//!
//! Compiled for tests and for `cargo fuzz` (which sets `cfg(fuzzing)`) only.

mod admin;
mod bytes;
mod files;
#[cfg(test)]
mod tests;
mod tls_stream;

pub use admin::admin_port;
pub use bytes::{client_hello, first_message, follower};
pub use files::{config, pem, state_file};
pub use tls_stream::tls_stream;
