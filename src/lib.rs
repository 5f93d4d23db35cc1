//! tlsramp: one port for TLS and plaintext, under a policy that changes while it runs.
//!
//! A connection is accepted by [`proxy`], which peeks its first bytes ([`sniff`]), asks [`policy`] for a permit,
//! terminates TLS or passes it through ([`tls`]), dials the server ([`upstream`]) and relays ([`net`]). [`telemetry`]
//! records what happens. [`control`] changes the mode, the certificates and the configuration while connections are
//! open; [`admin`] passes MongoDB commands and HTTP requests on to it. [`app`] puts these parts together. Start reading
//! at `proxy/connection.rs`, then `policy/judge.rs`, then `control/controller.rs`.
//!
//! The modules by rank. A module imports only from lower ranks and no two files import each other; a test checks both.
//!
//! | rank | module | contents |
//! |---|---|---|
//! | 0 | [`policy`] | the modes, the verdict on a connection, and the permit that a dial needs. Pure |
//! | 0 | [`limits`] | bounds of sizes and times, each with its reason |
//! | 0 | [`drain`] | graceful stop: signal, wait, force |
//! | 0 | [`files`] | bounded reading of files |
//! | 0 | [`mongodb_uri`] | `mongodb://` URIs on the command line |
//! | 0 | [`text`] | escaping and shortening of text from peers, times by RFC 3339 |
//! | 1 | [`mongo`] | MongoDB's wire protocol: messages, replies, the follower of message boundaries |
//! | 1 | [`net`] | sockets: addresses, listening, connection limits, dialling, relaying |
//! | 1 | [`tls`] | PEM files, certificates, revocation, handshakes, the TLS stream |
//! | 2 | [`screen`] | pages of sentences and tables for a terminal or a pipe |
//! | 2 | [`sniff`] | tells TLS from plaintext by peeking |
//! | 2 | [`config`] | command line and files to validated settings |
//! | 2 | [`stream`] | the stream of a connection: TCP, a Unix socket or TLS |
//! | 3 | [`upstream`] | connections to a server: dialled with a permit, over TLS if it says so |
//! | 4 | [`route`] | routes, built once per configuration for the proxy and the probe |
//! | 5 | [`state`] | what the control plane writes and the data plane reads: snapshot, member list |
//! | 5 | [`telemetry`] | records of connections, outcomes, inventory, metrics, logs |
//! | 6 | [`proxy`] | the data plane: accepts and relays connections |
//! | 6 | [`control`] | the control plane: checks and makes changes, watches files, probes servers |
//! | 7 | [`admin`] | the admin port: MongoDB commands and HTTP |
//! | 7 | [`admin_client`] | a client of the admin port, for the commands below |
//! | 7 | [`standin`] | a small MongoDB server for the demo and the tests |
//! | 8 | [`app`] | the composition root, `tlsramp run` and `check` |
//! | 9 | [`ctl`] | `tlsramp ctl`: shows and changes a running proxy |
//! | 9 | [`demo`] | `tlsramp demo`: a rolling upgrade on three embedded nodes |
//! | 9 | [`load`] | `tlsramp load`: the load generator |
//! | 9 | [`netfilter`] | `tlsramp netfilter`: the interception rules of a sidecar |
//! | 9 | [`rollout`] | `tlsramp rollout`: the rolling upgrade over many nodes |
//! | 10 | [`command_line`] | the commands, shell completions, the version |

pub mod app;
pub mod command_line;
pub mod ctl;
pub mod demo;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod load;
pub mod mongodb_uri;
pub mod netfilter;
pub mod rollout;

mod admin;
mod admin_client;
mod config;
mod control;
mod drain;
mod files;
mod limits;
mod mongo;
mod net;
mod policy;
mod proxy;
mod route;
mod screen;
mod sniff;
mod standin;
mod state;
mod stream;
mod telemetry;
mod text;
mod tls;
mod upstream;

/// Parts of the crate that its benches and black-box tests use. Not a stable interface.
pub mod testing {
    pub use crate::admin::requests::ModeRequest;
    pub use crate::admin_client::{AdminAddress, AdminClient};
    pub use crate::app::App;
    pub use crate::config::{load as load_config, with_options};
    pub use crate::control::{Caller, Change, ChangeError, Changed, Controller};
    pub use crate::limits::HANDSHAKES_HELD;
    pub use crate::mongo::request::{msg_command, query_command};
    pub use crate::mongo::{ClientMetadata, CommandError, Follower, MongoClient, Reply, Request};
    pub use crate::net::{canary, descriptor_limit, raise_descriptor_limit};
    pub use crate::policy::{Acceptance, LinkRule, Mode, Opening, Spelling, judge};
    pub use crate::route::RouteId;
    pub use crate::sniff::{Class, ClientHello, classify};
    pub use crate::standin::{StandIn, StandInHandle};
    pub use crate::state::SnapshotWriter;
    pub use crate::telemetry::{Observer, Outcome, RouteRecord};
    pub use crate::tls::{Material, TlsFiles};
}
