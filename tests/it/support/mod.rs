//! Shared by the black-box tests: real servers and drivers, real processes, certificates, and reports of missing
//! requirements.
//!
//! | file | contents |
//! |---|---|
//! | [`require`] | `require!`, `require_root!`, `require_command!`: skip a test, or fail under `TLSRAMP_TEST_ALL=1` |
//! | [`parts`] | mongod, pymongo, mongosh, checkers: fetched once into `target/parts/` |
//! | [`proxy`] | the real `tlsramp` binary, its log and its records |
//! | [`mongod`] | a real mongod on a free port |
//! | [`admin`] | the admin port of a proxy, through HTTP |
//! | [`raw`] | MongoDB commands as raw messages |
//! | [`certs`] | a folder of valid and invalid certificates |
//! | [`openssl`] | `openssl s_client`, and certificates that modern libraries refuse to make |
//! | [`process`] | commands with a time limit; children that cannot outlive the tests |
//! | [`cable`] | two hosts as namespaces, with small servers on both |
//! | [`log`] | the lines of a child process, to wait for |
//! | [`scratch`] | folders that are removed at the end, even after a crash |
//! | [`scraped`] | the metrics of a proxy, parsed |
//! | [`service`] | a small server behind the proxy, plain clients, reloads |
//! | [`set`] | a replica set of servers that only answer `hello`, each behind a tlsramp |
//! | [`plain`] | a MongoDB client of one connection |
//! | [`port`] | a port that stays reserved for the test |
//! | [`generated`] | blocks of the documentation that a test generates |
//! | [`hosts`] | three hosts on one machine: a replica set with a sidecar beside each member |
//! | [`until`] | waiting for a condition |
//! | [`tls`] | TLS clients and servers of the tests themselves |
//! | [`turn`] | a bound on how many replica sets run at a time |
//!
//! No helper sleeps for a fixed time: each waits for the state that it needs, within a time limit, and reports what it
//! saw.

#![allow(dead_code, reason = "a helper may be there before the test that needs it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

pub(crate) mod admin;
pub(crate) mod cable;
pub(crate) mod certs;
pub(crate) mod generated;
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
pub(crate) mod scraped;
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
