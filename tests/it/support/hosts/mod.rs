//! The hosts of a replica set on one machine: network namespaces on a virtual switch, each with a real mongod without
//! TLS and a sidecar beside it, and an application on a host of its own.
//!
//! ```text
//!  app 10.77.0.100 ──┐
//!                  switch ── h1.example 10.77.0.1: tlsramp, mongod      (own namespace each: network, /etc/hosts)
//!                    ├────── h2.example 10.77.0.2: tlsramp, mongod
//!                    └────── h3.example 10.77.0.3: tlsramp, mongod
//! ```
//!
//! | file | contents |
//! |---|---|
//! | [`netns`] | namespaces: created, removed, cleaned up after a killed run |
//! | [`network`] | the switch and its cables; dropped packets, unplugged cables |
//! | [`host`] | one host: its commands, its name resolution |
//! | [`running`] | a process on a host, and its log |
//! | [`server`] | its mongod, whose data survives a kill |
//! | [`sidecar`] | its tlsramp, whose state file survives a kill |
//! | [`set`] | the replica set on these hosts |
//! | `adopting` | putting sidecars in front of members, and removing them |
//! | [`identities`] | certificates of members and clients |
//! | [`rolling`] | a rollout over the set's sidecars |
//! | [`app`] | the application: writers and readers that report lost operations |
//! | [`outside`] | one command from the application's host, with pymongo of any version |
//! | [`links`] | connections that exist at only one end |
//! | [`capture`] | the captured traffic |
//!
//! A test needs root, `ip`, `nft`, `tcpdump`, mongod and pymongo: [`ready`] reports what is missing.

mod adopting;
pub(crate) mod app;
pub(crate) mod capture;
pub(crate) mod host;
pub(crate) mod identities;
pub(crate) mod links;
pub(crate) mod netns;
pub(crate) mod network;
pub(crate) mod outside;
pub(crate) mod rolling;
pub(crate) mod running;
pub(crate) mod server;
pub(crate) mod set;
pub(crate) mod sidecar;

pub(crate) use app::{App, Kind};
pub(crate) use capture::Captures;
pub(crate) use host::Host;
pub(crate) use rolling::Rollout;
pub(crate) use set::{Plan, Set, Variant};

use super::{parts, parts::Release, require};

/// Checks that this machine has everything that a set of hosts needs. Returns the reason if something is missing.
pub(crate) fn ready() -> Result<(), String> {
    require::root()?;
    for command in ["ip", "nft", "tcpdump", "setpriv"] {
        require::command(command)?;
    }
    parts::mongod()?;
    parts::pymongo()?;
    Ok(())
}

/// As [`ready`], for a set of this release of mongod and an application that supports it.
pub(crate) fn ready_for(release: Release) -> Result<(), String> {
    ready()?;
    release.mongod()?;
    parts::pymongo_4_10()?;
    Ok(())
}
