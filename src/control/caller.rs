//! Who asked for a change, and by which door: for the audit line.

use std::fmt;
use std::net::SocketAddr;

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The door that the request came by.
    pub door: Door,
    /// The one who stands before it.
    pub who: Who,
}

/// The doors of the controller.
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

/// The one before a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A TCP peer, with the subject of its certificate where there is one.
    Tcp {
        /// Its address.
        peer: SocketAddr,
        /// RFC 4514.
        subject: Option<String>,
    },
    /// A peer on a Unix socket, as the kernel knows it.
    Unix {
        /// Its user.
        uid: u32,
        /// Its process, if the kernel says.
        pid: Option<i32>,
    },
    /// Nobody from outside.
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
    /// Who it is across connections: without a port or a process, which change with each.
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
