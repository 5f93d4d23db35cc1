//! What the black-box tests share: real parts, real processes, certificates, and a loud way to say what is missing.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | [`require`] | `require!`, `require_root!`, `require_command!`: skip loudly, or fail under `TLSRAMP_TEST_ALL=1` |
//! | [`parts`] | mongod, pymongo, mongosh, checkers: fetched once into `target/parts/` |
//! | [`proxy`] | the real `tlsramp` binary, its log and its records |
//! | [`mongod`] | a real mongod on a free port |
//! | [`admin`] | the admin port of a proxy, by HTTP |
//! | [`raw`] | MongoDB commands, by hand |
//! | [`certs`] | a folder of certificates, the right ones and the wrong ones |
//! | [`openssl`] | `openssl s_client`, and certificates no modern library would make |
//! | [`process`] | commands with a time limit; children that cannot outlive the tests |
//! | [`cable`] | two hosts, as namespaces, with small servers on both |
//! | [`log`] | the lines of a child, to wait on |
//! | [`scratch`] | folders that are gone afterwards, even after a crash |
//! | [`service`] | a small server behind the proxy, plain clients, reloads |
//! | [`set`] | a replica set of servers that only say hello, each behind a tlsramp |
//! | [`plain`] | a MongoDB client of one connection |
//! | [`port`] | a port that nobody else gets |
//! | [`hosts`] | three hosts on one machine: a replica set with a sidecar beside each member |
//! | [`until`] | waiting for something to be so |
//! | [`tls`] | TLS clients and servers of the tests themselves |
//! | [`turn`] | a bound on how many replica sets run at a time |
//!
//! Nothing here sleeps to let something happen: a helper waits on what it needs, within a bound, and says what it saw.

#![allow(dead_code, reason = "a helper may be there before the test that needs it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

pub(crate) mod admin;
pub(crate) mod cable;
pub(crate) mod certs;
pub(crate) mod hosts;
pub(crate) mod log;
pub(crate) mod mongod;
pub(crate) mod openssl;
pub(crate) mod parts;
pub(crate) mod plain;
pub(crate) mod port;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod require;
pub(crate) mod scratch;
pub(crate) mod service;
pub(crate) mod set;
pub(crate) mod tls;
pub(crate) mod turn;
pub(crate) mod until;

pub(crate) use certs::cert;
pub(crate) use log::Mark;
pub(crate) use mongod::Mongod;
pub(crate) use port::ReservedPort;
pub(crate) use proxy::{Proxy, ProxyBuilder, run_to_end};
pub(crate) use require::{require, require_command, require_root};
pub(crate) use scratch::Scratch;
pub(crate) use until::wait;
