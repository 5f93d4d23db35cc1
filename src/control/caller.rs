//! The caller who requests a change, for the audit log.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The origin of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// The interface on which the request came.
    pub interface: Interface,
    /// The peer that sent the request.
    pub who: Who,
}

/// The interfaces through which requests reach the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Interface {
    /// A MongoDB command on the admin port.
    Mongodb,
    /// An HTTP request on the admin port.
    Http,
    /// SIGHUP.
    Signal,
    /// A watched file that has changed.
    Watch,
    /// The program itself: its start, and the changes of the demo.
    Program,
}

/// The peer that sent a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Who {
    /// A TCP peer.
    Tcp {
        /// The peer's address.
        peer: SocketAddr,
        /// The subject of the peer's certificate, if it presented one.
        subject: Option<String>,
    },
    /// A peer on a Unix socket.
    Unix {
        /// The peer's user ID.
        uid: u32,
        /// The peer's process ID, if the kernel reports it.
        pid: Option<i32>,
    },
    /// This process.
    Process,
}

impl Caller {
    /// The program itself as the caller.
    pub const PROGRAM: Caller = Caller { interface: Interface::Program, who: Who::Process };
    /// SIGHUP as the caller.
    pub const SIGNAL: Caller = Caller { interface: Interface::Signal, who: Who::Process };
    /// The file watch as the caller.
    pub const WATCH: Caller = Caller { interface: Interface::Watch, who: Who::Process };
}

impl Interface {
    /// The name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Interface::Mongodb => "mongodb",
            Interface::Http => "http",
            Interface::Signal => "signal",
            Interface::Watch => "watch",
            Interface::Program => "program",
        }
    }
}

impl Who {
    /// The peer without port and process ID, which differ from connection to connection.
    pub(crate) fn place(&self) -> String {
        match self {
            Who::Tcp { peer, subject: None } => peer.ip().to_canonical().to_string(),
            Who::Tcp { peer, subject: Some(subject) } => {
                format!("{} ({})", peer.ip().to_canonical(), crate::text::printable(subject))
            }
            Who::Unix { uid, .. } => format!("uid {uid}"),
            Who::Process => self.to_string(),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Tcp { peer, subject: None } => write!(f, "{peer}"),
            Who::Tcp { peer, subject: Some(subject) } => write!(f, "{peer} ({})", crate::text::printable(subject)),
            Who::Unix { uid, pid: Some(pid) } => write!(f, "uid {uid}, pid {pid}"),
            Who::Unix { uid, pid: None } => write!(f, "uid {uid}"),
            Who::Process => f.write_str("this process"),
        }
    }
}
