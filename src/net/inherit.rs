//! Listening sockets that a service manager has created and passed on (`LISTEN_FDS`, sd_listen_fds(3)). They exist
//! before this process starts and after it ends: clients that connect during a restart wait in the accept queue.
//!
//! They replace a bind to the same address. Which addresses are listened on is still determined by the options alone.
//! The same holds for the sockets of a running tlsramp that this process replaces.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use listenfd::ListenFd;
use socket2::{Domain, SockRef};

use super::listen::{bind, try_bind};
use super::options;
use super::unix::{SocketFile, UnixSocket, bind_unix, try_bind_unix};

/// The sockets that were passed on.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The sockets of the service manager. They stay open for a process that replaces this one, to which they are passed
    /// on in turn.
    tcp: Vec<(Passed<SocketAddr>, TcpListener)>,
    unix: Vec<(Passed<PathBuf>, UnixListener)>,
    /// Listeners that were opened ahead of time, or taken over from the tlsramp that this process replaces, by the
    /// requested address. Each is handed out once.
    ahead: Mutex<Vec<(SocketAddr, Vec<TcpListener>)>>,
    /// Unix sockets of the tlsramp that this process replaces. Each is handed out once.
    taken_unix: Mutex<Vec<(PathBuf, UnixSocket)>>,
}

/// Description of an inherited socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed<A> {
    /// The name given by the service manager: `FileDescriptorName=`, or the unit's name by default.
    pub name: String,
    /// The address that the socket listens on.
    pub address: A,
    /// Whether the socket listens on an IPv6 address and accepts IPv4 clients too.
    pub dual: bool,
}

impl Inherited {
    /// Takes the inherited sockets of this process. Must be called once, before any thread is started, since it removes
    /// `LISTEN_FDS` and `LISTEN_PID` from the environment.
    ///
    /// # Errors
    /// If a descriptor is not a listening stream socket, TCP or Unix.
    pub fn from_env() -> io::Result<Inherited> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let mut passed = ListenFd::from_env();
        let mut inherited = Inherited::default();
        for at in 0..passed.len() {
            let name = names.next().unwrap_or_default();
            if let Ok(Some(listener)) = passed.take_unix_listener(at) {
                inherited.add_unix(name, listener)?;
            } else if let Some(listener) = passed.take_tcp_listener(at)? {
                inherited.add_tcp(name, listener)?;
            }
        }
        Ok(inherited)
    }

    fn add_tcp(&mut self, name: String, listener: TcpListener) -> io::Result<()> {
        listening(&listener, &name)?;
        listener.set_nonblocking(true)?;
        options::set(&listener)?;
        let address = listener.local_addr()?;
        let dual = address.is_ipv6() && !SockRef::from(&listener).only_v6()?;
        self.tcp.push((Passed { name, address, dual }, listener));
        Ok(())
    }

    fn add_unix(&mut self, name: String, listener: UnixListener) -> io::Result<()> {
        listening(&listener, &name)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default();
        self.unix.push((Passed { name, address, dual: false }, listener));
        Ok(())
    }

    /// Takes a socket that the service manager has passed on to the tlsramp that this process replaces, unless the
    /// service manager has passed it on to this process too.
    ///
    /// # Errors
    /// If the descriptor is not a listening socket.
    pub fn take_over_passed(&mut self, name: String, socket: OwnedFd) -> io::Result<()> {
        let mut passed = Inherited::default();
        match SockRef::from(&socket).domain()? {
            Domain::UNIX => passed.add_unix(name, socket.into())?,
            _ => passed.add_tcp(name, socket.into())?,
        }
        passed.tcp.retain(|(new, _)| self.tcp().all(|known| known.address != new.address));
        passed.unix.retain(|(new, _)| self.unix().all(|known| known.address != new.address));
        self.tcp.append(&mut passed.tcp);
        self.unix.append(&mut passed.unix);
        Ok(())
    }

    /// Copies of the TCP sockets of the service manager, for a process that replaces this one.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn tcp_copies(&self) -> io::Result<Vec<(&Passed<SocketAddr>, OwnedFd)>> {
        self.tcp.iter().map(|(passed, listener)| Ok((passed, listener.try_clone()?.into()))).collect()
    }

    /// As [`Inherited::tcp_copies`], of the Unix sockets.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn unix_copies(&self) -> io::Result<Vec<(&Passed<PathBuf>, OwnedFd)>> {
        self.unix.iter().map(|(passed, listener)| Ok((passed, listener.try_clone()?.into()))).collect()
    }

    /// Returns the inherited TCP sockets.
    pub fn tcp(&self) -> impl Iterator<Item = &Passed<SocketAddr>> {
        self.tcp.iter().map(|(passed, _)| passed)
    }

    /// Returns the inherited TCP socket for an address.
    pub fn listener(&self, address: SocketAddr) -> Option<&TcpListener> {
        self.tcp.iter().find(|(passed, _)| passed.address == address).map(|(_, listener)| listener)
    }

    /// Returns the inherited Unix sockets. The address of a socket without a path is an empty path.
    pub fn unix(&self) -> impl Iterator<Item = &Passed<PathBuf>> {
        self.unix.iter().map(|(passed, _)| passed)
    }

    /// Keeps listeners that were opened while the process still had the capabilities to open them. The next call of
    /// [`Inherited::listen`] or [`Inherited::listen_inbound`] with this address uses them. If the port is 0, only
    /// `listen_inbound` does, because every other route with port 0 gets a port of its own.
    pub fn keep(&mut self, address: SocketAddr, listeners: Vec<TcpListener>) {
        self.ahead.get_mut().unwrap_or_else(PoisonError::into_inner).push((address, listeners));
    }

    /// Takes a TCP listener of the tlsramp that this process replaces. Several listeners of one address, one for each
    /// worker, are used together.
    ///
    /// # Errors
    /// If the descriptor is not a listening socket with this address.
    pub fn take_over_tcp(&mut self, address: SocketAddr, socket: OwnedFd) -> io::Result<()> {
        let listener = TcpListener::from(socket);
        listening(&listener, &address.to_string())?;
        if listener.local_addr()? != address {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the socket is not that of {address}")));
        }
        options::set(&listener)?;
        let ahead = self.ahead.get_mut().unwrap_or_else(PoisonError::into_inner);
        match ahead.iter_mut().find(|(kept, _)| *kept == address) {
            Some((_, listeners)) => listeners.push(listener),
            None => ahead.push((address, vec![listener])),
        }
        Ok(())
    }

    /// Takes a Unix listener of the tlsramp that this process replaces. `made` says whether a tlsramp has created its
    /// file; if not, a service manager has. The socket is not used if the service manager has passed one on to this
    /// process for the path: the path then leads to that one.
    ///
    /// # Errors
    /// If the descriptor is not a listening socket, or the socket has no file.
    pub fn take_over_unix(&mut self, path: PathBuf, made: bool, socket: OwnedFd) -> io::Result<()> {
        if self.unix().any(|passed| passed.address == path) {
            return Ok(());
        }
        let listener = UnixListener::from(socket);
        listening(&listener, &path.display().to_string())?;
        let socket = if made { UnixSocket::taken_over(listener, &path)? } else { UnixSocket::passed_on(listener) };
        self.taken_unix.get_mut().unwrap_or_else(PoisonError::into_inner).push((path, socket));
        Ok(())
    }

    /// Closes the sockets that were opened ahead of time or taken over and are not used, and removes the files of such
    /// Unix sockets.
    pub fn close_unused(&self) {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let unused = std::mem::take(&mut *self.taken_unix.lock().unwrap_or_else(PoisonError::into_inner));
        unused.iter().filter_map(|(_, socket)| socket.file.as_deref()).for_each(SocketFile::own);
    }

    /// Returns listeners for `workers` workers: the ones that were opened ahead of time or taken over; or an inherited
    /// socket, which all workers share because another socket could not bind to its address; or new ones, bound by
    /// [`bind`].
    ///
    /// # Errors
    /// As [`bind`].
    pub fn listen(&self, address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
        if address.port() != 0
            && let Some(listeners) = self.taken(address)
        {
            return for_all(listeners, workers);
        }
        match self.listener(address) {
            Some(listener) => (0..workers).map(|_| listener.try_clone()).collect(),
            None => bind(address, workers),
        }
    }

    /// As [`Inherited::listen`], for the inbound route.
    ///
    /// # Errors
    /// As [`bind`].
    pub fn listen_inbound(&self, address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
        self.taken(address).map_or_else(|| self.listen(address, workers), |listeners| for_all(listeners, workers))
    }

    /// Whether there are listeners for an address: inherited, opened ahead of time or taken over.
    fn has(&self, address: SocketAddr) -> bool {
        self.tcp().any(|passed| passed.address == address) || self.is_kept(address)
    }

    /// Whether listeners for an address were opened ahead of time (see [`Inherited::keep`]) or taken over.
    pub fn is_kept(&self, address: SocketAddr) -> bool {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(kept, _)| *kept == address)
    }

    fn taken(&self, address: SocketAddr) -> Option<Vec<TcpListener>> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let at = ahead.iter().position(|(kept, _)| *kept == address)?;
        Some(ahead.swap_remove(at).1)
    }

    /// Checks whether [`Inherited::listen`] would succeed, by binding without listening and releasing the address
    /// again.
    ///
    /// # Errors
    /// As [`bind`].
    pub fn try_listen(&self, address: SocketAddr) -> io::Result<()> {
        if self.has(address) { Ok(()) } else { try_bind(address) }
    }

    /// Checks whether [`Inherited::listen_unix`] would succeed.
    ///
    /// # Errors
    /// As [`bind_unix`].
    pub fn try_listen_unix(&self, path: &Path) -> io::Result<()> {
        let is_taken =
            self.taken_unix.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(taken, _)| taken == path);
        if is_taken || self.unix().any(|passed| passed.address == path) { Ok(()) } else { try_bind_unix(path) }
    }

    /// As [`Inherited::listen`] for a Unix socket. The file of an inherited socket is never removed.
    ///
    /// # Errors
    /// As [`bind_unix`].
    pub fn listen_unix(&self, path: &Path) -> io::Result<UnixSocket> {
        {
            let mut taken = self.taken_unix.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = taken.iter().position(|(taken, _)| taken == path) {
                return Ok(taken.swap_remove(at).1);
            }
        }
        match self.unix.iter().find(|(passed, _)| passed.address == path) {
            Some((_, listener)) => Ok(UnixSocket::passed_on(listener.try_clone()?)),
            None => bind_unix(path),
        }
    }
}

/// At least one listener for each worker. Workers share the listeners if there are too few; all listeners are used if
/// there are too many, because the kernel has distributed waiting connections to all of them.
fn for_all(mut listeners: Vec<TcpListener>, workers: usize) -> io::Result<Vec<TcpListener>> {
    for at in 0..workers.saturating_sub(listeners.len()) {
        let shared = listeners[at].try_clone()?;
        listeners.push(shared);
    }
    Ok(listeners)
}

fn listening(socket: &impl AsFd, name: &str) -> io::Result<()> {
    let fault = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("the socket {name:?} {text}"));
    match SockRef::from(socket).is_listener() {
        Ok(true) => Ok(()),
        Ok(false) => Err(fault("is not a listening socket")),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
