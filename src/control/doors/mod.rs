//! The doors by which the outside comes to the desk: MongoDB commands and HTTP, on the admin port and its Unix socket,
//! and the probes' own port. They translate, and decide nothing but who may ask.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | [`listener`] | opening and closing all of it; accepting |
//! | [`guests`] | how many may be connected, and who makes room |
//! | [`visit`] | one connection, from its first byte to its door |
//! | [`access`] | who may do what, and what the others are told |
//! | [`knock`] | which protocol it is, by four bytes; bytes put back |
//! | [`mongodb`] | the commands |
//! | [`http`] | the paths |
//! | [`complaints`] | the bound on log lines that strangers cause |

mod access;
mod complaints;
mod guests;
mod http;
mod knock;
mod listener;
mod mongodb;
mod visit;

pub use listener::{Bound, Doors};
