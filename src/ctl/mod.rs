//! `tlsramp ctl`: asks a running proxy at its admin port, and changes it.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | `command` | the command line: verbs, options, what they mean |
//! | `verb` | which verb, with what; the command as it was typed, for those that are to be typed next |
//! | `run` | asking, printing, exit codes |
//! | `page`, `words` | sentences, warnings and tables for people; ages, counts, sizes. PURE |
//! | `status`, `clients`, `connections`, `history`, `ready`, `changes` | what each answer looks like. PURE |
//! | `refusal` | what a failure looks like, for people and for programs. PURE |
//!
//! It refuses to decide anything: what is legal, the controller knows. It prints nothing that came from a peer without
//! escaping it, and no escape code of its own but to a terminal.

mod changes;
mod clients;
mod command;
mod connections;
mod history;
mod page;
mod ready;
mod refusal;
mod run;
mod status;
#[cfg(test)]
mod tests;
mod verb;
mod words;

pub use command::command;
pub use run::run;
