//! The configuration: command line and file, parsed and validated.
//!
//! One table ([`table`]) defines the options: their flags, their keys in both file formats, and whether a reload may
//! change them. The values are collected as text with their origin ([`raw`]), then validated together: every mistake is
//! reported at once, each with the name as written, the value, what was expected and what to do. Only the validated
//! [`Settings`] leave the module, with the TLS material that belongs to them.
//!
//! ```text
//! cli ──┐                                   ┌── routes, encryption, admin
//!       ├── raw ── check::load ── validate ─┤
//! file ─┘  (yaml | pairs)                   └── Settings ── warnings, report
//! ```
//!
//! Nothing here opens a listener, dials, or changes the running proxy.

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
mod unknown;
mod validate;
mod values;
mod warnings;
mod yaml;

#[cfg(any(test, fuzzing))]
pub use check::load_offline;
pub use check::{Loaded, load, material, mode_named, read_again, reload};
pub use cli::with_options;
pub use mistake::Mistake;
pub use pattern::Pattern;
pub use report::report;
pub use settings::{
    Admin, AdminBind, InboundSettings, LogFormat, LogSettings, MemberSettings, OutboundSettings, Settings, WatchScope,
};
pub use values::time;
