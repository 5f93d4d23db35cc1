//! The data plane. The files follow a connection from accept to its end:
//!
//! | file | stage |
//! |---|---|
//! | [`server`], [`worker`] | accept, on every worker thread |
//! | [`accept_queue`] | wait for a connection slot |
//! | [`connection`] | serve one connection and close its record |
//! | [`route`] | determine the upstream of a connection, and detect loops |
//! | [`interception`] | determine the address that a client of a transparent listener dialled |
//! | [`establish`] | sniff, judge, admit, dial; judge again if the policy has changed meanwhile |
//! | [`client_leg`], [`upstream_leg`] | TLS with the client; the dial and TLS with the server |
//! | [`refusal`], [`failure`] | the replies to a client that is not served; the reasons |
//! | [`watcher`] | count bytes, identify the client, wait for a message boundary |
//! | [`recycle`] | end a connection at a message boundary |
//!
//! The data plane cannot change the policy: it only holds a reader of the snapshot.

mod accept_queue;
mod client_leg;
mod connection;
mod context;
mod establish;
mod failure;
mod interception;
mod recycle;
mod refusal;
mod route;
mod server;
mod upstream_leg;
mod watcher;
mod worker;

pub use context::ProxyContext;
pub use server::{OpenRoute, ProxyServer};
pub use worker::WorkerHealth;
