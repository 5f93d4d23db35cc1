//! Replica sets of real mongods with a sidecar beside each member. The tests that take longest: the harness runs them in the
//! order of their names, so they begin early, and others run beside them.

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
