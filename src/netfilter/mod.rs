//! `tlsramp netfilter`: the nftables rules that lead a mongod's connections through a tlsramp on the same host.
//!
//! | file | contents |
//! |---|---|
//! | `command` | the command line |
//! | `settings`, `network` | the values given, validated together; networks of members |
//! | `script` | the rules, as a script for nft. PURE |
//! | `sockets` | the addresses that the server listens on, connections that are older than the rules |
//! | `mentions` | rules of the host that name the port, for `--redirect`. PURE |
//! | `nft` | nft and iptables, run with a time limit; the table's own listing |
//! | `run`, `report` | what each verb does and prints, exit codes |
//! | `keep` | `--keep`: applies the rules anew whenever they are gone |
//!
//! Inbound connections are intercepted by TPROXY, which leaves the destination port as it is: the host's own filter rules
//! see what they saw before, and none of them has to be read. No table is changed but the own one.

mod command;
mod keep;
mod mentions;
mod network;
mod nft;
mod report;
mod run;
mod script;
mod settings;
mod sockets;

pub use command::command;
pub use run::run;
