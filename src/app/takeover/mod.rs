//! The replacement of a running tlsramp by a new process of the same user, without closing a listening socket.
//!
//! The new process connects to the Unix socket of `--takeover`, on which the running one listens, and asks in this order:
//!
//! | request of the new process | answer of the running one |
//! |---|---|
//! | [`TakeoverRequest::Begin`] | the addresses of its listening sockets, then the sockets (`SCM_RIGHTS`) |
//! | [`TakeoverRequest::Freeze`], once the configuration is found to be good | the state; from now on it does not change |
//! | [`TakeoverRequest::Ready`], once listeners and threads are ready | it confirms, closes its connections and ends |
//!
//! With the last answer, the new process begins to accept. Until then, the running process accepts. So one of the two
//! always accepts, and connections in the sockets' queues are kept. If the channel breaks before the last answer, the
//! running process thaws and serves on: it has closed nothing yet. The state file never has two writers: the running
//! process writes it until the freeze, the new process once it has replaced the running one.

mod channel;
mod give;
mod spawn;
mod take;

pub(super) use give::replaced;
pub(super) use spawn::start_next;
pub use spawn::{START_NEXT, start_detached};
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
    Sockets {
        version: String,
        sockets: Vec<SocketName>,
        /// For each of the sockets, the name given to it by the service manager that has passed it on; `None` for the
        /// others. Empty if the running process is a tlsramp 0.2.0.
        #[serde(default)]
        passed: Vec<Option<String>>,
    },
    State(Box<Handover>),
    Replaced,
    Refused {
        reason: String,
    },
}

/// A listening socket that is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum SocketName {
    Tcp(SocketAddr),
    Unix {
        path: PathBuf,
        /// Whether the socket's file was created by a tlsramp, not by a service manager.
        made: bool,
    },
}

/// Incremented whenever an older process would misunderstand a message. A field may be added without a new number.
const PROTOCOL: u32 = 1;

#[cfg(test)]
mod tests {
    use super::TakeoverAnswer;

    #[test]
    fn the_answer_of_version_0_2_0_is_understood() {
        let answer = r#"{"sockets":{"version":"0.2.0","sockets":[{"tcp":"127.0.0.1:27017"}]}}"#;
        let answer = serde_json::from_str(answer).unwrap();
        assert!(
            matches!(answer, TakeoverAnswer::Sockets { passed, sockets, .. } if passed.is_empty() && sockets.len() == 1)
        );
    }
}
