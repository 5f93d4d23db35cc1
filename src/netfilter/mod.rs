//! `tlsramp netfilter`: manages the nftables rules that intercept a mongod's connections for a tlsramp on the same
//! host.
//!
//! | file | contents |
//! |---|---|
//! | `command`, `settings`, `network` | the command line, validated |
//! | `addresses`, `sockets` | the server's addresses, listeners, older connections |
//! | `script` | the rules, as a script for nft. PURE: without input or output |
//! | `nft`, `rules` | runs nft; recognises, checks and loads the table |
//! | `checks`, `mentions` | checks of listeners and of the host's rules |
//! | `run`, `keep`, `report` | the commands, `--keep`, and what they print |
//!
//! Inbound connections are intercepted by TPROXY, which does not rewrite the destination port, so the host's filter
//! rules apply as before. Only tlsramp's own table is changed.

mod addresses;
mod checks;
mod command;
mod keep;
mod mentions;
mod network;
mod nft;
mod report;
mod rules;
mod run;
mod script;
mod settings;
mod sockets;

pub use command::command;
pub use run::run;
