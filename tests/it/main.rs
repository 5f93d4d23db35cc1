//! All black-box tests, one file per behaviour, with the real binary and real servers and drivers.
//!
//! A test reports missing requirements, see [`support::require`].

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, the panic is the report")]

mod support;

mod admin_access;
mod admin_attacks;
mod admin_drivers;
mod admin_http;
mod admin_mongod;
mod admin_sessions;
mod after_handshake;
mod bad_configuration;
mod changes;
mod chaos;
mod check_as_run;
mod circles;
mod cluster;
mod controller;
mod crls;
mod ctl;
mod dawdling;
mod dead_peers;
mod demo;
mod deploy;
mod doctor;
mod draining;
mod examples;
mod expiring;
mod four_doors;
mod guard;
mod handshake_memory;
mod hellos;
mod history;
mod incompatible;
mod limits;
mod load;
mod matrix;
mod member_names;
mod metrics;
mod monitoring;
mod moving;
mod netfilter;
mod newcomer;
mod operating;
mod outbound_links;
mod outdated;
mod readers;
mod readme;
mod records;
mod recycling;
mod reference;
mod refusals;
mod refused_certificates;
mod relaying;
mod reloading;
mod resets;
mod resumption;
mod rollout;
mod routes;
mod service_manager;
mod silent;
mod standin;
mod still_on_plaintext;
mod stopping;
mod syncing;
mod takeover;
mod tproxy;
mod transparent;
mod verification;
mod waiting;
mod watching;
