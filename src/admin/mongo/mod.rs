//! MongoDB commands at the admin port, answered as a mongod 6.0 without data would answer them. `setParameter` and
//! `getParameter` know only the parameters `sslMode` and `tlsMode`; `setParameter` also has fields of tlsramp's own. No
//! command of tlsramp's own has the name of a command of mongod's.
//!
//! | file | contents |
//! |---|---|
//! | [`session`] | a connection: access, and the answer to each request |
//! | [`commands`] | the table of commands, and the checks before each of them |
//! | [`context`] | the arguments of every command |
//! | [`errors`], [`fields`] | mongod's error codes; fields of a command by type |
//! | [`parameters`], [`values`] | `setParameter`, `getParameter`; values as mongod prints them |
//! | [`handshake`] | `hello`, and other commands that drivers and shells send on their own |
//! | [`server_info`], [`server_status`] | `buildInfo`, `getCmdLineOpts`, `getLog`; `serverStatus` |
//! | [`operations`] | `rotateCertificates`, `plaintextClients`, `recycleConnections` |
//! | [`document`] | replies as BSON documents |

mod commands;
mod context;
mod document;
mod errors;
mod fields;
mod handshake;
mod operations;
mod parameters;
mod server_info;
mod server_status;
mod session;
mod values;

pub(super) use session::serve;
