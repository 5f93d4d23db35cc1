//! `tlsramp load`: a load generator for proxies and servers, by TLS and plaintext.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | `command`, `wish` | the command line; what was asked for, judged as a whole |
//! | `link` | connections: plaintext, or TLS of a given version, full or resumed |
//! | `exchange` | the small protocol between it and its own server; MongoDB commands |
//! | `client` | one client: its connections, its operations, its pace |
//! | `tally` | what has been counted and timed |
//! | `run` | threads, warm-up, the measured time |
//! | `processor` | what a process under test has used |
//! | `page` | the result, for people and for programs. PURE |
//! | `serve` | its own server, of the small protocol |
//!
//! It measures what a client sees. It refuses to guess what a server would have done: what fails is counted by kind.

mod client;
mod command;
mod exchange;
mod link;
mod page;
mod processor;
mod run;
mod serve;
mod tally;
mod wish;

pub use command::command;
pub use run::run;
