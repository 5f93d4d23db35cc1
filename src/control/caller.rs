//! The caller who requests a change, for the audit log.

use std::fmt;
use std::net::SocketAddr;

/// The origin of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The way by which the request came.
    pub door: Door,
    /// The peer that sent it.
    pub who: Who,
}

/// The ways by which requests reach the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// A MongoDB command on the admin port.
    Mongodb,
    /// An HTTP request on the admin port.
    Http,
    /// SIGHUP.
    Signal,
    /// A file that has changed.
    Watch,
    /// The program itself: the demo.
    Program,
}

/// The peer that sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A TCP peer.
    Tcp {
        /// Its address.
        peer: SocketAddr,
        /// The subject of its certificate, if it has shown one.
        subject: Option<String>,
    },
    /// A peer on a Unix socket.
    Unix {
        /// Its user.
        uid: u32,
        /// Its process, if the kernel tells it.
        pid: Option<i32>,
    },
    /// This process.
    Process,
}

impl Caller {
    /// The program itself.
    pub const PROGRAM: Caller = Caller { door: Door::Program, who: Who::Process };
    /// The signal.
    pub const SIGNAL: Caller = Caller { door: Door::Signal, who: Who::Process };
    /// The watch on files.
    pub const WATCH: Caller = Caller { door: Door::Watch, who: Who::Process };
}

impl Door {
    /// Its name in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Door::Mongodb => "mongodb",
            Door::Http => "http",
            Door::Signal => "signal",
            Door::Watch => "watch",
            Door::Program => "program",
        }
    }
}

impl Who {
    /// The peer without port and process, which differ from connection to connection.
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
