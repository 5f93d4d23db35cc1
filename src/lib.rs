//! tlsramp: one port for TLS and plaintext, under a policy that changes while it runs.
//!
//! The map of the house, from the ground up. A module imports only from lower ranks, which a test checks; so
//! there are no import circles, and each can be read with what is below it alone.
//!
//! | rank | module | what lives there |
//! |---|---|---|
//! | 0 | [`policy`] | the modes and the verdict on a connection, pure; the permit without which nothing dials |
//! | 0 | [`limits`], [`drain`], [`files`] | every bound with its reason; stop, wait, force; reading a named file |
//! | 1 | [`mongo`] | the little of MongoDB's wire protocol that is needed |
//! | 1 | [`net`] | sockets: listen, slots, dial, relay, linger |
//! | 1 | [`text`] | texts from outside, made fit for a line |
//! | 1 | [`tls`] | PEM files, identities, configurations, handshakes, reasons |
//! | 2 | [`sniff`] | TLS or plaintext, by bytes that stay in the kernel |
//! | 2 | [`config`] | flags and files to settings, with every mistake at once |
//! | 2 | [`state`] | what the control plane writes and the data plane reads: snapshot, members |
//! | 2 | [`telemetry`] | records, outcomes, open connections, logs |
//! | 2 | [`upstream`] | the way to a server: dialled with the permit, made what the permit says |
//! | 3 | [`proxy`] | the data plane: a connection as one straight line |
//! | 3 | [`control`] | the control plane: the controller, where changes are judged, staged and committed |
//! | 4 | [`admin`] | the admin port: MongoDB commands and HTTP |
//! | 4 | [`app`] | the composition root |
//! | 4 | [`admin_client`] | a client of the admin port, which the commands share |
//! | 4 | [`standin`] | a small server that speaks MongoDB, for the demo and the tests |
//! | 5 | [`ctl`] | the command that asks a running proxy, and changes it |
//! | 5 | [`demo`] | a rolling upgrade on three embedded nodes, every step checked |
//! | 5 | [`load`] | the load generator |
//! | 5 | [`netfilter`] | the interception rules of a sidecar |
//! | 5 | [`rollout`] | the rolling upgrade over many nodes, one step at a time |
//!
//! A reader in a hurry opens `proxy/connection.rs`, then `policy/judge.rs`, then `control/controller.rs`.

pub mod app;
pub mod config;
pub mod ctl;
pub mod demo;
pub mod load;
pub mod netfilter;
pub mod rollout;

mod admin;
mod admin_client;
mod control;
mod drain;
mod files;
mod limits;
mod mongo;
mod net;
mod policy;
mod proxy;
mod route;
mod sniff;
mod standin;
mod state;
mod telemetry;
mod text;
mod tls;
mod upstream;

/// Parts of the crate that its benches and black-box tests use. Not a stable interface.
pub mod testing {
    pub use crate::admin_client::{AdminAddress, AdminClient};
    pub use crate::control::requests::ModeRequest;
    pub use crate::control::{Caller, Change, ChangeError, Changed, Controller};
    pub use crate::limits::{HANDSHAKES_HELD, LOG_NAP};
    pub use crate::mongo::request::{msg_command, query_command};
    pub use crate::mongo::{ClientMetadata, CommandError, Follower, MongoClient, Reply, Request};
    pub use crate::net::{canary, descriptor_limit, raise_descriptor_limit};
    pub use crate::policy::{Acceptance, LinkRule, Mode, Opening, Spelling, judge};
    pub use crate::sniff::{Class, Hello, classify};
    pub use crate::standin::{Handle, StandIn};
    pub use crate::state::SnapshotWriter;
    pub use crate::telemetry::{Observer, Outcome, RouteRecord};
    pub use crate::tls::{Material, TlsFiles};
}
