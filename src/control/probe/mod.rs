//! The probe: one connection to each server, by the kind of link that its route would make now, with a `hello` every
//! ten seconds. It shows whether the server is up, the server's state in its set, and the addresses that the set
//! advertises.
//!
//! The other kind of link is tried only to find the blockers of a mode that would use it, and at most once a minute for
//! each snapshot, since a server that does not accept it logs each attempt.

mod hello;
mod prober;
mod results;
mod session;
mod target;

pub(super) use hello::HelloReply;
pub use hello::ServerState;
pub(super) use prober::Prober;
pub(super) use results::{DialledDestination, LinkSeen, Traffic, Unreachable};
pub use results::{OtherLinkResult, ServerStatus};
pub(super) use session::{HelloOutcome, ProbeSession};
