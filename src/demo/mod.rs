//! `tlsramp demo`: a rolling upgrade to TLS, start to finish, in one process and on loopback alone.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | `command` | arguments, signals, exit code |
//! | `files` | certificates made on the spot, in a folder that is gone afterwards |
//! | `node` | a stand-in server and its own tlsramp, linked to the other nodes |
//! | `wire` | one connection of the demo's own, plaintext or TLS |
//! | `clients` | steady clients, which count every operation |
//! | `heartbeats` | what the nodes send each other |
//! | `tally` | what is counted meanwhile |
//! | `observe` | what each kind of client and each link really gets |
//! | `truth` | what they should get; every difference in words. PURE |
//! | `cluster` | all of these, running |
//! | `walk` | from `disabled` to `requireSSL`, node by node |
//! | `screen`, `text`, `totals` | what is shown of it |
//!
//! It refuses to take its own word for anything: modes are changed at the controller as an operator would, and each cell
//! of the table is a connection that was made. What is not as the truth table says ends the walk with exit code 1.

mod clients;
mod cluster;
mod command;
mod files;
mod heartbeats;
mod node;
mod observe;
mod screen;
mod tally;
#[cfg(test)]
mod tests;
mod text;
mod totals;
mod truth;
mod walk;
mod wire;

pub use command::{command, run};
