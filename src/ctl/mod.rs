//! `tlsramp ctl`: queries and controls a running proxy by its admin port.
//!
//! | file | content |
//! |---|---|
//! | `command` | the command line: subcommands, options, help |
//! | `verb` | the parsed subcommand |
//! | `run` | request, output, exit codes |
//! | `lookup`, `target` | subcommands that look a client or mode up first; how clients and connections are named |
//! | `guard` | a change of mode that asks first |
//! | `output` | the output of a subcommand |
//! | `status`, `status_tables`, `clients`, `connections`, `doctor`, `history`, `ready`, `changes` | renders each reply |
//! | `refusal` | renders an error, as text and as JSON |
//!
//! This module makes no decisions; the controller checks changes. Text from peers is escaped. Colour codes are
//! written only to a terminal.

mod changes;
mod clients;
mod command;
mod connections;
mod doctor;
#[cfg(test)]
mod golden;
mod guard;
mod history;
mod lookup;
mod output;
mod ready;
mod refusal;
mod run;
mod status;
mod status_tables;
mod target;
#[cfg(test)]
mod tests;
mod verb;

pub use command::{command, status_command};
pub use run::run;
