//! The replacement of a running tlsramp by a new process of the same user, without closing a listening socket.
//!
//! The new process connects to the Unix socket of `--takeover`, on which the running one listens, and asks in this order:
//!
//! | request of the new process | answer of the running one |
//! |---|---|
//! | [`TakeoverRequest::Begin`] | the addresses of its listening sockets, then the sockets (`SCM_RIGHTS`) |
//! | [`TakeoverRequest::Freeze`], once the configuration is found to be good | the state; from now on it does not change |
//! | [`TakeoverRequest::Ready`], once every listener is bound and every thread runs | it closes its connections and ends |
//!
//! With the last answer, the new process begins to accept. Until then, the running process accepts, so a connection is
//! always accepted by one of the two, and those in the sockets' queues are kept. If the channel breaks before the last
//! answer, the running process thaws and serves on: it has closed nothing yet. The state file has one writer at any
//! time: the running process until the freeze, then none, then the new one.

mod channel;
mod give;
mod spawn;
mod take;

pub(super) use give::replaced;
pub(super) use spawn::start_next;
pub(super) use take::Taking;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::control::Handover;

/// What the new process sends.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum TakeoverRequest {
    Begin { protocol: u32, version: String },
    Freeze,
    Ready,
}

/// What the running process answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum TakeoverAnswer {
    Sockets { version: String, sockets: Vec<SocketName> },
    State(Box<Handover>),
    Replaced,
    Refused { reason: String },
}

/// A listening socket that is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum SocketName {
    Tcp(SocketAddr),
    Unix {
        path: PathBuf,
        /// Whether a tlsramp has created the file, and not a service manager.
        made: bool,
    },
}

/// Incremented whenever an older process would misunderstand a message. A field may be added without a new number.
const PROTOCOL: u32 = 1;
