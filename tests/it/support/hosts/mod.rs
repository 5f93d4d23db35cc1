//! Hosts of a replica set on one machine: network namespaces on a switch, a real mongod without TLS on each, a sidecar
//! beside it, and an application on a host of its own.
//!
//! ```text
//!  app 10.77.0.100 ──┐
//!                  switch ── h1.example 10.77.0.1: tlsramp, mongod      (own namespace each: network, /etc/hosts)
//!                    ├────── h2.example 10.77.0.2: tlsramp, mongod
//!                    └────── h3.example 10.77.0.3: tlsramp, mongod
//! ```
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | [`netns`] | namespaces: made, removed, swept up after a run that was killed |
//! | [`network`] | the switch and its cables; packets that vanish, cables that are pulled |
//! | [`host`] | one host: commands on it, what names mean there |
//! | [`running`] | a process on a host, and its log |
//! | [`server`] | its mongod, which keeps its data when it is killed |
//! | [`sidecar`] | its tlsramp, which keeps its state file |
//! | [`set`] | the replica set of them |
//! | `adopting` | how the sidecars come to stand in the way, and how they go |
//! | [`identities`] | certificates of members and clients |
//! | [`rolling`] | a rollout over its sidecars |
//! | [`app`] | the application: writers and readers that lose nothing, and say so |
//! | [`outside`] | one command from the application's host, by pymongo of any version |
//! | [`links`] | connections that only one end still has |
//! | [`capture`] | what was seen on the wires |
//!
//! A test needs root, `ip`, `nft`, `tcpdump`, mongod and pymongo: [`ready`] says which is missing.

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

/// What a set of hosts needs of this machine; the reason where something is missing.
pub(crate) fn ready() -> Result<(), String> {
    require::root()?;
    for command in ["ip", "nft", "tcpdump", "setpriv"] {
        require::command(command)?;
    }
    parts::mongod()?;
    parts::pymongo()?;
    Ok(())
}

/// The same for a set of this release of mongod, with an application that talks to it.
pub(crate) fn ready_for(release: Release) -> Result<(), String> {
    ready()?;
    release.mongod()?;
    parts::pymongo_4_10()?;
    Ok(())
}
