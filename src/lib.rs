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
//! | 5 | [`admin_client`] | a client of the admin port, which the commands share |
//! | 4 | [`standin`] | a small server that speaks MongoDB, for the demo and the tests |
//! | 5 | [`ctl`] | the command that asks a running proxy, and changes it |
//! | 5 | [`demo`] | a rolling upgrade on three embedded nodes, every step checked |
//! | 5 | [`load`] | the load generator |
//! | 5 | [`netfilter`] | the interception rules of a sidecar |
//! | 5 | [`rollout`] | the rolling upgrade over many nodes, one step at a time |
//!
//! A reader in a hurry opens `proxy/connection.rs`, then `policy/judge.rs`, then `control/controller.rs`.

pub mod admin;
pub mod admin_client;
pub mod app;
pub mod config;
pub mod control;
pub mod ctl;
pub mod demo;
pub mod drain;
pub mod files;
pub mod limits;
pub mod load;
pub mod mongo;
pub mod net;
pub mod netfilter;
pub mod policy;
pub mod proxy;
pub mod rollout;
pub mod route;
pub mod sniff;
pub mod standin;
pub mod state;
pub mod telemetry;
pub mod text;
pub mod tls;
pub mod upstream;
