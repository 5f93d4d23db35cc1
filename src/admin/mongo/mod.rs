//! The door for MongoDB commands, as a mongod 6.0 without data would answer them. `setParameter` and `getParameter`
//! are mongod's, field for field; what mongod lacks has names of its own.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | [`session`] | a connection: message in, answer out |
//! | [`wire`] | one bounded message; what a message that is no command gets |
//! | [`commands`] | every command by name; what all of them have in common |
//! | [`context`] | what every command is given |
//! | [`answer`] | answers and failures; fields of a command by type |
//! | [`parameters`], [`shell_format`] | `setParameter`, `getParameter`; values as mongod prints them |
//! | [`handshake`] | `hello` and what else drivers and shells ask by themselves |
//! | [`server_info`], [`server_status`] | what this is, how it was started, how it is |
//! | [`operations`] | `rotateCertificates`, `plaintextClients`, `recycleConnections` |
//! | [`document`] | views as documents |

mod answer;
mod commands;
mod context;
mod document;
mod handshake;
mod operations;
mod parameters;
mod server_info;
mod server_status;
mod session;
mod shell_format;
mod wire;

pub(super) use session::serve;
