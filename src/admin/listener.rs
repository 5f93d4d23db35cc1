//! The listeners of the admin port and of the health probe port. They are bound before the proxy starts, served once
//! there is a controller, and closed last.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::access::ListenerKind;
use super::connection::NewConnection;
use super::connection_limit::AdminConnectionLimit;
use super::http::Feed;
use super::log_limit::LogLimit;
use super::serve;
use super::state::AdminState;
use crate::config::{Admin, AdminBind, Mistake};
use crate::control::Controller;
use crate::drain::{self, Drain};
use crate::limits::{
    ACCEPT_BACKOFF_MOST, ADMIN_CONNECTIONS, ADMIN_FAREWELL, ADMIN_UNIX_CONNECTIONS, DOOR_DESCRIPTORS, PROBE_CONNECTIONS,
};
use crate::net::{Inherited, Listener, SocketFile, UnixSocket, descriptor_limit};

/// Listeners that are bound but not served yet: connections wait in the kernel's queue.
#[derive(Debug, Default)]
pub struct BoundServer {
    tcp: Vec<(ListenerKind, SocketAddr, TcpListener)>,
    unix: Vec<(PathBuf, UnixSocket)>,
}

/// The admin port while it is served. Dropping it closes its connections at once.
#[derive(Debug)]
pub struct AdminServer {
    shared: Arc<AdminState>,
    drain: Drain,
    unix: Vec<OpenSocket>,
    /// Copies of the TCP listeners for a process that takes them over.
    copies: Vec<(SocketAddr, TcpListener)>,
}

/// A Unix socket of the admin port.
#[derive(Debug)]
struct OpenSocket {
    path: PathBuf,
    file: Option<Arc<SocketFile>>,
    /// A copy of the listener for a process that takes it over.
    copy: Option<UnixListener>,
}

/// A copy of a listening Unix socket.
#[derive(Debug)]
pub struct UnixCopy {
    /// The path of the socket.
    pub path: PathBuf,
    /// Whether a tlsramp has created the socket's file.
    pub made: bool,
    /// The socket.
    pub socket: OwnedFd,
}

impl BoundServer {
    /// Binds the addresses of the settings, or takes the sockets that a service manager or the replaced process has
    /// passed on.
    ///
    /// # Errors
    /// Every address that cannot be bound; no listener is kept then.
    pub fn bind(admin: &Admin, inherited: &Inherited) -> Result<BoundServer, Vec<Mistake>> {
        let mut bound = BoundServer::default();
        let mut mistakes = Vec::new();
        for wanted in &admin.binds {
            let done = match wanted {
                AdminBind::Tcp(address) => bound.tcp(listener_kind(*address), *address, inherited),
                AdminBind::Unix(path) => bound.unix(path.clone(), inherited),
            };
            if let Err(error) = done {
                mistakes.push(match wanted {
                    AdminBind::Tcp(address) => Mistake::cannot_listen("--adminBind", &address.to_string(), &error),
                    AdminBind::Unix(path) => Mistake::cannot_listen_unix("--adminBind", path, &error),
                });
            }
        }
        for address in &admin.probes {
            if let Err(error) = bound.tcp(ListenerKind::Probes, *address, inherited) {
                mistakes.push(Mistake::cannot_listen("--probeBind", &address.to_string(), &error));
            }
        }
        if mistakes.is_empty() { Ok(bound) } else { Err(mistakes) }
    }

    fn tcp(&mut self, listener_kind: ListenerKind, address: SocketAddr, inherited: &Inherited) -> io::Result<()> {
        for listener in inherited.listen(address, 1)? {
            self.tcp.push((listener_kind, listener.local_addr()?, listener));
        }
        Ok(())
    }

    fn unix(&mut self, path: PathBuf, inherited: &Inherited) -> io::Result<()> {
        let socket = inherited.listen_unix(&path)?;
        self.unix.push((path, socket));
        Ok(())
    }

    /// Serves the listeners on the current runtime.
    pub fn open(self, controller: &Arc<Controller>) -> AdminServer {
        let BoundServer { tcp, unix } = self;
        let keeps_copies = controller.view().settings().admin.takeover.is_some();
        let copies = tcp.iter().filter(|_| keeps_copies);
        // An address without a copy cannot be taken over. A copy fails for lack of descriptors. The copies of the
        // routes' listeners, made just before, then usually fail too, and that is reported.
        let copies = copies.filter_map(|(_, address, listener)| Some((*address, listener.try_clone().ok()?))).collect();
        let bound: Vec<_> = tcp.iter().map(|(listener_kind, address, _)| (route(*listener_kind), *address)).collect();
        controller.view().set_admin_addresses(&bound);
        let shared = AdminState {
            controller: Arc::clone(controller),
            log_limit: LogLimit::default(),
            feed: Feed::default(),
            bound,
            stopping: AtomicBool::new(false),
        };
        let (shared, drain) = (Arc::new(shared), Drain::new());
        let (by_tcp, probes) =
            (AdminConnectionLimit::new(share(ADMIN_CONNECTIONS)), AdminConnectionLimit::new(share(PROBE_CONNECTIONS)));
        for (listener_kind, _, listener) in tcp {
            let limit = if listener_kind == ListenerKind::Probes { &probes } else { &by_tcp };
            let acceptor =
                Acceptor { shared: Arc::clone(&shared), listener_kind, limit: limit.clone(), watch: drain.watch() };
            tokio::spawn(acceptor.accept(listener));
        }
        let (by_unix, mut open) = (AdminConnectionLimit::new(share(ADMIN_UNIX_CONNECTIONS)), Vec::new());
        for (path, socket) in unix {
            let listener_kind = ListenerKind::Unix;
            let acceptor =
                Acceptor { shared: Arc::clone(&shared), listener_kind, limit: by_unix.clone(), watch: drain.watch() };
            let file = socket.file.clone();
            file.as_deref().inspect(|file| file.own());
            let copy = keeps_copies.then(|| socket.listener.try_clone().ok()).flatten();
            open.push(OpenSocket { path, file, copy });
            tokio::spawn(acceptor.accept_unix(socket));
        }
        AdminServer { shared, drain, unix: open, copies }
    }
}

impl AdminServer {
    /// The paths of the Unix sockets.
    pub fn sockets(&self) -> impl Iterator<Item = &Path> {
        self.unix.iter().map(|open| &*open.path)
    }

    /// Copies of the TCP listeners.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn tcp_copies(&self) -> io::Result<Vec<(SocketAddr, OwnedFd)>> {
        self.copies.iter().map(|(address, copy)| Ok((*address, copy.try_clone()?.into()))).collect()
    }

    /// Copies of the Unix listeners.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn unix_copies(&self) -> io::Result<Vec<UnixCopy>> {
        let copies = self.unix.iter().filter_map(|open| Some((open, open.copy.as_ref()?)));
        let copied = |(open, copy): (&OpenSocket, &UnixListener)| {
            Ok(UnixCopy { path: open.path.clone(), made: open.file.is_some(), socket: copy.try_clone()?.into() })
        };
        copies.map(copied).collect()
    }

    /// Leaves the files of the Unix sockets to the process that has taken them over.
    pub fn leave_files(&self) {
        self.unix.iter().filter_map(|open| open.file.as_deref()).for_each(SocketFile::disown);
    }

    /// Reports not ready from now on, since the proxy accepts no new connections. Everything else continues.
    pub fn stopping(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }

    /// Closes the listeners. Requests in progress have [`ADMIN_FAREWELL`] to be answered.
    pub async fn close(self) {
        self.drain.start();
        drop((self.unix, self.copies));
        self.drain.wait(ADMIN_FAREWELL, std::future::pending()).await;
    }
}

/// Accepts the connections of one listener.
struct Acceptor {
    shared: Arc<AdminState>,
    listener_kind: ListenerKind,
    limit: AdminConnectionLimit,
    watch: drain::DrainWatch,
}

impl Acceptor {
    async fn accept(self, listener: TcpListener) {
        let mut listener = match Listener::register(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "cannot listen for the admin port"),
        };
        loop {
            let (socket, peer) = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.watch.draining() => return,
            };
            if let Some(new) = self.admit(Some(peer)) {
                tokio::spawn(serve::tcp(socket, peer, new));
            }
            // Lets an evicted connection close before the next is accepted, so that the number of descriptors is
            // bounded.
            tokio::task::yield_now().await;
        }
    }

    /// Accepts the connections of a Unix socket, and removes the socket's file at the end if this process owns it.
    async fn accept_unix(self, socket: UnixSocket) {
        let UnixSocket { listener, file: _file } = socket;
        let listener = match tokio::net::UnixListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "cannot listen on the admin socket"),
        };
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.watch.draining() => return,
            };
            match accepted {
                Ok((socket, _)) => {
                    if let Some(new) = self.admit(None) {
                        tokio::spawn(serve::unix(socket, new));
                    }
                    tokio::task::yield_now().await;
                }
                // The process is out of descriptors or memory.
                Err(_) => tokio::time::sleep(ACCEPT_BACKOFF_MOST).await,
            }
        }
    }

    /// Takes a slot for a connection; `None` if requests are in progress on all others.
    fn admit(&self, peer: Option<SocketAddr>) -> Option<NewConnection> {
        let Some(slot) = self.limit.admit() else {
            self.shared.log_limit.refused(
                peer,
                None,
                "the connection limit is reached, and requests are in progress on all connections",
            );
            return None;
        };
        let (shared, watch) = (Arc::clone(&self.shared), self.watch.clone());
        Some(NewConnection { shared, listener_kind: self.listener_kind, slot, watch })
    }
}

/// The kind of a listener. A wildcard address counts as remote, whatever the peer's address.
fn listener_kind(address: SocketAddr) -> ListenerKind {
    if address.ip().to_canonical().is_loopback() { ListenerKind::Loopback } else { ListenerKind::Remote }
}

fn route(listener_kind: ListenerKind) -> Arc<str> {
    match listener_kind {
        ListenerKind::Loopback | ListenerKind::Remote | ListenerKind::Unix => "admin".into(),
        ListenerKind::Probes => "probes".into(),
    }
}

/// The connection limit: `most`, or proportionally fewer, but at least one, if a quarter of the process's descriptors is
/// less than `DOOR_DESCRIPTORS`.
fn share(most: usize) -> usize {
    let kept = usize::try_from((descriptor_limit() / 4).min(DOOR_DESCRIPTORS)).unwrap_or_default();
    let all = usize::try_from(DOOR_DESCRIPTORS).unwrap_or(usize::MAX);
    (most * kept / all).max(1)
}
