//! The new process's side of a takeover. It needs no runtime to wait for the running process, as it serves nothing yet.

use std::io;
use std::iter::repeat;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use socket2::{Domain, SockAddr, Socket, Type};

use super::channel::{TimedReader, receive, send};
use super::{PROTOCOL, SocketName, TakeoverAnswer, TakeoverRequest};
use crate::control::Handover;
use crate::limits::{TAKEOVER_ANSWER, TAKEOVER_SOCKETS};
use crate::net::{Inherited, PASSED_AT_ONCE, receive_passed};

/// A running tlsramp that this process is about to replace.
#[derive(Debug)]
pub(crate) struct Taking {
    channel: UnixStream,
    path: PathBuf,
    /// The version and process ID of the running tlsramp.
    pub(crate) version: String,
    pub(crate) pid: i32,
}

/// The error if the running tlsramp was not replaced. It serves on.
#[derive(Debug, thiserror::Error)]
#[error("--takeover {}: cannot replace the running tlsramp: {why}", path.display())]
pub(crate) struct TakeoverError {
    path: PathBuf,
    why: TakeoverFailure,
}

#[derive(Debug, thiserror::Error)]
enum TakeoverFailure {
    #[error("cannot connect: {0}; choose a path in a folder of the user that runs tlsramp")]
    Connect(io::Error),
    #[error("the process that listens there has user ID {theirs}, and this one {ours}; run both as the same user")]
    User { theirs: u32, ours: u32 },
    #[error("it refuses: {0}")]
    Refused(String),
    #[error("it did not answer within {} s; it may be handing over to another process, or be another program", TAKEOVER_ANSWER.as_secs())]
    Silent,
    #[error("too many processes wait for it already; it may be handing over to one of them, or be another program")]
    Full,
    #[error("the connection to it broke: {0}; see its log")]
    Broken(io::Error),
    #[error("its listening socket {0}: {1}; restart it instead")]
    Socket(String, io::Error),
    #[error("its answer is not the expected one; see its log")]
    Unexpected,
}

impl Taking {
    /// Connects to the running tlsramp and receives its listening sockets; `None` if no process listens on the path.
    ///
    /// # Errors
    /// [`TakeoverError`]
    pub(crate) fn begin(path: &Path, inherited: &mut Inherited) -> Result<Option<Taking>, TakeoverError> {
        begin(path, inherited).map_err(|why| TakeoverError { path: path.to_owned(), why })
    }

    /// Freezes the running tlsramp and receives its state.
    ///
    /// # Errors
    /// [`TakeoverError`]
    pub(crate) fn freeze(&mut self) -> Result<Handover, TakeoverError> {
        let TakeoverAnswer::State(state) = self.ask(&TakeoverRequest::Freeze)? else {
            return Err(self.failed(TakeoverFailure::Unexpected));
        };
        Ok(*state)
    }

    /// Reports that this process is ready. When this has returned without an error, the running tlsramp ends, and this
    /// process has to accept.
    ///
    /// # Errors
    /// [`TakeoverError`]
    pub(crate) fn ready(mut self) -> Result<(), TakeoverError> {
        let TakeoverAnswer::Replaced = self.ask(&TakeoverRequest::Ready)? else {
            return Err(self.failed(TakeoverFailure::Unexpected));
        };
        Ok(())
    }

    fn ask(&mut self, request: &TakeoverRequest) -> Result<TakeoverAnswer, TakeoverError> {
        ask(&mut self.channel, request).map_err(|why| self.failed(why))
    }

    fn failed(&self, why: TakeoverFailure) -> TakeoverError {
        TakeoverError { path: self.path.clone(), why }
    }
}

fn begin(path: &Path, inherited: &mut Inherited) -> Result<Option<Taking>, TakeoverFailure> {
    let connected = connect(path).map_err(|error| {
        let is_full = error.kind() == io::ErrorKind::WouldBlock;
        if is_full { TakeoverFailure::Full } else { TakeoverFailure::Connect(error) }
    })?;
    let Some(mut channel) = connected else { return Ok(None) };
    let peer = socket_peercred(&channel).map_err(|error| TakeoverFailure::Connect(error.into()))?;
    let (theirs, ours) = (peer.uid.as_raw(), geteuid().as_raw());
    if theirs != ours {
        return Err(TakeoverFailure::User { theirs, ours });
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let begin = TakeoverRequest::Begin { protocol: PROTOCOL, version };
    let TakeoverAnswer::Sockets { version, sockets: names, passed: managers } = ask(&mut channel, &begin)? else {
        return Err(TakeoverFailure::Unexpected);
    };
    if names.len() > TAKEOVER_SOCKETS {
        return Err(TakeoverFailure::Unexpected);
    }
    let (timed, mut sockets) = (TimedReader::new(TAKEOVER_ANSWER, &channel), Vec::new());
    for batch in names.chunks(PASSED_AT_ONCE) {
        let passed = timed.arm().and_then(|()| receive_passed(&channel)).map_err(broken)?;
        if passed.len() != batch.len() {
            let problem = "not all sockets arrived; raise the descriptor limit (ulimit -n, LimitNOFILE=)";
            return Err(TakeoverFailure::Broken(io::Error::other(problem)));
        }
        sockets.extend(passed);
    }
    let managers = managers.into_iter().chain(repeat(None));
    for ((name, manager), socket) in names.into_iter().zip(managers).zip(sockets) {
        let shown = match &name {
            SocketName::Tcp(address) => address.to_string(),
            SocketName::Unix { path, .. } => path.display().to_string(),
        };
        let taken = match manager {
            Some(manager) => inherited.take_over_passed(manager, socket),
            None => take(name, socket, inherited),
        };
        taken.map_err(|error| TakeoverFailure::Socket(shown, error))?;
    }
    Ok(Some(Taking { channel, path: path.to_owned(), version, pid: peer.pid.as_raw_nonzero().get() }))
}

fn take(name: SocketName, socket: OwnedFd, inherited: &mut Inherited) -> io::Result<()> {
    match name {
        SocketName::Tcp(address) => inherited.take_over_tcp(address, socket),
        SocketName::Unix { path, made } => inherited.take_over_unix(path, made, socket),
    }
}

/// Connects, without waiting in the queue of a process that does not accept; `None` if no process listens, or the path is
/// too long for a socket, which is then a mistake of the configuration.
fn connect(path: &Path) -> io::Result<Option<UnixStream>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    let Ok(address) = SockAddr::unix(path) else { return Ok(None) };
    match socket.connect(&address) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    socket.set_nonblocking(false)?;
    socket.set_write_timeout(Some(TAKEOVER_ANSWER))?;
    Ok(Some(UnixStream::from(OwnedFd::from(socket))))
}

/// Sends a request and receives its answer. A refusal is an error.
fn ask(channel: &mut UnixStream, request: &TakeoverRequest) -> Result<TakeoverAnswer, TakeoverFailure> {
    match send(channel, request).and_then(|()| receive(TAKEOVER_ANSWER, channel)).map_err(broken)? {
        TakeoverAnswer::Refused { reason } => {
            Err(TakeoverFailure::Refused(crate::text::printable(&reason).to_string()))
        }
        answer @ (TakeoverAnswer::Sockets { .. } | TakeoverAnswer::State(_) | TakeoverAnswer::Replaced) => Ok(answer),
    }
}

fn broken(error: io::Error) -> TakeoverFailure {
    let is_late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    if is_late { TakeoverFailure::Silent } else { TakeoverFailure::Broken(error) }
}
