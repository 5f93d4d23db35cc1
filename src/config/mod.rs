//! The configuration: flags, a file, and what they add up to.
//!
//! Everything derives from one table ([`table`]): the command line, both file forms, their names in messages,
//! and what a reload may change. What the operator wrote is gathered as text with its origin ([`raw`]), then
//! judged as a whole: every mistake of a run is reported at once, each with the name as it was written, the value,
//! what was expected and what to do. Only the validated [`Settings`] leave the module, with the TLS material
//! that belongs to them.
//!
//! ```text
//! cli ──┐                                   ┌── routes, encryption, warnings
//!       ├── raw ── check::load ── validate ─┤
//! file ─┘  (yaml | pairs)                   └── Settings ── report
//! ```
//!
//! Nothing here opens a listener, dials, or changes anything that runs.

mod admin;
mod check;
mod cli;
mod encryption;
mod file;
mod lookup;
mod mistake;
mod options;
mod pairs;
mod pattern;
mod raw;
mod reader;
mod report;
mod routes;
mod settings;
mod table;
#[cfg(test)]
mod tests;
mod validate;
mod values;
mod warnings;
mod yaml;

#[cfg(any(test, fuzzing))]
pub use check::load_offline;
pub use check::{Loaded, Reload, load, material, mode_named, read_again, reload};
pub use cli::with_options;
pub use mistake::Mistake;
pub use pattern::Pattern;
pub use report::report;
pub use settings::{
    Admin, AdminBind, Inbound, LogFormat, LogLevel, LogSettings, Member, Outbound, Settings, WatchScope,
};
pub use values::time;
