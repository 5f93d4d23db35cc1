//! Replica sets of real mongods with a sidecar beside each member. These tests take longest. The harness runs tests in
//! the order of their names, so these begin early, and others run concurrently.

mod clients;
mod everybody;
mod faults;
mod hop;
mod names;
mod rollout;
mod storm;
mod strangers;
mod sync;
mod tls_only;
mod way_out;
