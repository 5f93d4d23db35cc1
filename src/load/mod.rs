//! `tlsramp load`: a load generator for proxies and servers, with TLS and plaintext.
//!
//! | file | contents |
//! |---|---|
//! | `command`, `args`, `limits` | the command line; the parsed arguments; bounds |
//! | `workload` | kinds of operations and requests |
//! | `connect` | connecting, with or without TLS |
//! | `exchange` | one request and its answer: a MongoDB command, or the echo protocol |
//! | `client`, `timer` | one client: its connections, its operations, its schedule; the timer of the schedule |
//! | `measurements` | counts and latencies |
//! | `run` | threads, warm-up, the measured time |
//! | `process_usage` | processor time and memory of other processes |
//! | `report` | the result, as text and as JSON, without input or output |
//! | `echo_server` | the server of the echo protocol |
//!
//! It measures what a client sees. Failures are counted by kind.

mod args;
mod client;
mod command;
mod connect;
mod echo_server;
mod exchange;
mod limits;
mod measurements;
mod process_usage;
mod report;
mod run;
mod timer;
mod workload;

pub use command::command;
pub use limits::MOST_CONNECTIONS;
pub use run::run;
