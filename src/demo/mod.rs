//! `tlsramp demo`: a rolling upgrade to TLS, start to finish, in one process and on loopback alone.
//!
//! | file | contents |
//! |---|---|
//! | `command` | arguments, signals, exit code |
//! | `files` | temporary certificates, removed at the end |
//! | `node` | a stand-in server and its own tlsramp, linked to the other nodes |
//! | `connector` | connecting with plaintext or TLS |
//! | `clients` | steady clients, which count every operation |
//! | `heartbeats` | pings between the nodes |
//! | `tally` | counts of operations and heartbeats |
//! | `observe` | observes the result of each kind of client, and the kind of each link |
//! | `truth_table` | the expected results; a text for every difference. PURE: without input or output |
//! | `cluster` | the running nodes, clients and heartbeats |
//! | `upgrade` | from `disabled` to `requireSSL`, node by node |
//! | `screen`, `output`, `totals` | colours; the table; the totals |
//!
//! Every cell of the table is the result of a real connection, and the controller changes modes as it does for an
//! operator. Any difference from the truth table ends the upgrade with exit code 1.

mod clients;
mod cluster;
mod command;
mod connector;
mod files;
mod heartbeats;
mod node;
mod observe;
mod output;
mod screen;
mod tally;
#[cfg(test)]
mod tests;
mod totals;
mod truth_table;
mod upgrade;

pub use command::{command, run};
