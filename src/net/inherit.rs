//! Listening sockets that a service manager has made and passed on (`LISTEN_FDS`, sd_listen_fds(3)). They are there
//! before this process and after it: who connects while it restarts waits in the queue.
//!
//! They take the place of a bind to the same address. What is listened on is still said by the options alone.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use listenfd::ListenFd;
use socket2::SockRef;

use super::listen::{bind, try_bind};
use super::options;
use super::unix::{UnixSocket, bind_unix, try_bind_unix};

/// The sockets that were passed on. They are kept: a reload may drop a route and bring it back.
#[derive(Debug, Default)]
pub struct Inherited {
    tcp: Vec<(Passed<SocketAddr>, TcpListener)>,
    unix: Vec<(Passed<PathBuf>, UnixListener)>,
    /// Listeners that were opened ahead of time, by the address that was asked for. Each is handed out once.
    ahead: Mutex<Vec<(SocketAddr, Vec<TcpListener>)>>,
}

/// One of them, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed<A> {
    /// What the manager calls it: `FileDescriptorName=`, else the unit's name.
    pub name: String,
    /// What it listens on.
    pub address: A,
    /// Whether IPv4 clients reach an IPv6 address by it.
    pub dual: bool,
}

impl Inherited {
    /// Those of this process. To be called once, and before there are threads: it takes `LISTEN_FDS` and `LISTEN_PID`
    /// out of the environment.
    ///
    /// # Errors
    /// A descriptor that is no listening stream socket, TCP or Unix.
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

    /// The TCP sockets.
    pub fn tcp(&self) -> impl Iterator<Item = &Passed<SocketAddr>> {
        self.tcp.iter().map(|(passed, _)| passed)
    }

    /// The TCP socket that was passed on for an address.
    #[must_use]
    pub fn listener(&self, address: SocketAddr) -> Option<&TcpListener> {
        self.tcp.iter().find(|(passed, _)| passed.address == address).map(|(_, listener)| listener)
    }

    /// The Unix sockets; one without a path has an empty one.
    pub fn unix(&self) -> impl Iterator<Item = &Passed<PathBuf>> {
        self.unix.iter().map(|(passed, _)| passed)
    }

    /// Keeps listeners that were opened while the process still had the capabilities for it: for the next call of
    /// [`Inherited::listen`] with this address, or of [`Inherited::listen_inbound`] if its port is 0, which is another port
    /// for each route.
    pub fn keep(&mut self, address: SocketAddr, listeners: Vec<TcpListener>) {
        self.ahead.get_mut().unwrap_or_else(PoisonError::into_inner).push((address, listeners));
    }

    /// Listeners for so many workers: those that were opened ahead of time, or one socket that all share, where it was
    /// passed on (another could not join it), else newly bound as by [`bind`].
    ///
    /// # Errors
    /// As [`bind`].
    pub fn listen(&self, address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
        if address.port() != 0
            && let Some(listeners) = self.taken(address)
        {
            return Ok(listeners);
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
        self.taken(address).map_or_else(|| self.listen(address, workers), Ok)
    }

    /// Whether there are listeners for an address: passed on, or opened ahead of time.
    fn has(&self, address: SocketAddr) -> bool {
        self.tcp().any(|passed| passed.address == address) || self.is_kept(address)
    }

    /// Whether listeners for an address were opened ahead of time, see [`Inherited::keep`].
    #[must_use]
    pub fn is_kept(&self, address: SocketAddr) -> bool {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(kept, _)| *kept == address)
    }

    fn taken(&self, address: SocketAddr) -> Option<Vec<TcpListener>> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let at = ahead.iter().position(|(kept, _)| *kept == address)?;
        Some(ahead.swap_remove(at).1)
    }

    /// Whether [`Inherited::listen`] would succeed: binds without listening, and gives the address back.
    ///
    /// # Errors
    /// As [`bind`].
    pub fn try_listen(&self, address: SocketAddr) -> io::Result<()> {
        if self.has(address) { Ok(()) } else { try_bind(address) }
    }

    /// Whether [`Inherited::listen_unix`] would succeed.
    ///
    /// # Errors
    /// As [`bind_unix`].
    pub fn try_listen_unix(&self, path: &Path) -> io::Result<()> {
        if self.unix().any(|passed| passed.address == path) { Ok(()) } else { try_bind_unix(path) }
    }

    /// As [`Inherited::listen`] for a Unix socket. The file of one that was passed on is left alone.
    ///
    /// # Errors
    /// As [`bind_unix`].
    pub fn listen_unix(&self, path: &Path) -> io::Result<UnixSocket> {
        match self.unix.iter().find(|(passed, _)| passed.address == path) {
            Some((_, listener)) => Ok(UnixSocket::passed_on(listener.try_clone()?)),
            None => bind_unix(path),
        }
    }
}

fn listening(socket: &impl AsFd, name: &str) -> io::Result<()> {
    let fault = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("the socket {name:?} {text}"));
    match SockRef::from(socket).is_listener() {
        Ok(true) => Ok(()),
        Ok(false) => Err(fault("does not listen (Accept=no and ListenStream= it takes)")),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::Inherited;

    #[test]
    fn one_socket_is_shared_and_outlives_its_listeners() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut inherited = Inherited::default();
        inherited.add_tcp("inbound".into(), listener).unwrap();
        let shared = inherited.listen(address, 3).unwrap();
        assert!(shared.len() == 3 && shared.iter().all(|one| one.local_addr().unwrap() == address));
        drop(shared);
        let _waits = std::net::TcpStream::connect(address).unwrap();
        assert!(inherited.listen(address, 1).unwrap()[0].accept().is_ok(), "what waited is still there");
        let other = inherited.listen("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        assert_ne!(other[0].local_addr().unwrap(), address);
    }

    #[test]
    fn what_was_opened_ahead_of_time_is_handed_out_once() {
        let mut inherited = Inherited::default();
        let asked = "127.0.0.1:0".parse().unwrap();
        let listeners = inherited.listen(asked, 2).unwrap();
        let bound = listeners[0].local_addr().unwrap();
        inherited.keep(asked, listeners);
        let other = inherited.listen(asked, 1).unwrap();
        assert_ne!(other[0].local_addr().unwrap(), bound, "port 0 of another route is another port");
        let given = inherited.listen_inbound(asked, 2).unwrap();
        assert!(given.len() == 2 && given.iter().all(|one| one.local_addr().unwrap() == bound));
        drop(given);
        assert!(std::net::TcpStream::connect(bound).is_err(), "nothing listens any more");
        assert_ne!(inherited.listen_inbound(asked, 1).unwrap()[0].local_addr().unwrap(), bound);
    }

    #[test]
    fn the_file_of_a_unix_socket_is_not_ours_to_remove() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let mut inherited = Inherited::default();
        inherited.add_unix("admin".into(), UnixListener::bind(&path).unwrap()).unwrap();
        drop(inherited.listen_unix(&path).unwrap());
        assert!(path.exists());
    }
}
