//! `tlsramp netfilter`: the redirect rules of a sidecar, printed, applied and removed; and what a firewall would make of
//! them.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | `command` | the command line |
//! | `settings`, `network` | what was given, judged as a whole; networks of members |
//! | `script` | the rules, as a script for nft. PURE |
//! | `run` | what each verb does, exit codes |
//! | `report` | what is said of findings, and of older connections. PURE |
//! | `tools` | nft and iptables: run, with a time limit |
//! | `survey` | asking them for all rules of the host |
//! | `ruleset`, `dump`, `listing` | their answers: nft's JSON, iptables-save's lines, nft's text by handle. PURE |
//! | `packet`, `values` | what is known of the first packet of a connection; whether a value is among others. PURE |
//! | `judge` | what a rule makes of such a packet. PURE |
//! | `compare` | rules that treat the two ports unlike each other. PURE |
//! | `loopback` | whether a redirected connection gets through over the loopback interface. PURE |
//! | `firewall` | all findings of a host. PURE |
//! | `carry`, `words` | the commands that carry rules over; a rule's text with another port. PURE |
//! | `sockets` | connections from before the redirect; whether anybody listens where it leads |
//!
//! It refuses to edit anybody's rules but its own table, and to apply a redirect that a firewall would make into an
//! outage, or into a hole.

mod carry;
mod command;
mod compare;
mod dump;
mod firewall;
mod judge;
mod listing;
mod loopback;
mod network;
mod packet;
mod report;
mod ruleset;
mod run;
mod script;
mod settings;
mod sockets;
mod survey;
#[cfg(test)]
mod tests;
mod tools;
mod values;
mod words;

pub use command::command;
pub use run::run;
