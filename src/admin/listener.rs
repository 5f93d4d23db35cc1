//! The doors as a whole: bound before anything runs, opened when there is a controller, closed last.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::access::Entrance;
use super::connection::{self, Received};
use super::connection_limit::AdminConnectionLimit;
use super::log_limit::LogLimit;
use crate::config::{Admin, AdminBind, Mistake};
use crate::control::Controller;
use crate::drain::{self, Drain};
use crate::limits::{
    ACCEPT_BACKOFF_MOST, ADMIN_CONNECTIONS, ADMIN_FAREWELL, ADMIN_UNIX_CONNECTIONS, DOOR_DESCRIPTORS, PROBE_CONNECTIONS,
};
use crate::net::{Inherited, Listener, UnixSocket, descriptor_limit};

/// Listeners that are bound and not served yet: connections wait.
#[derive(Debug, Default)]
pub struct BoundServer {
    tcp: Vec<(Entrance, SocketAddr, TcpListener)>,
    unix: Vec<(PathBuf, UnixSocket)>,
}

/// The doors, open. Dropping this closes them without a farewell.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    drain: Drain,
    sockets: Vec<PathBuf>,
}

/// What every connection needs.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) controller: Arc<Controller>,
    pub(super) log_limit: LogLimit,
    /// The addresses bound, by route name.
    pub(super) bound: Vec<(Arc<str>, SocketAddr)>,
    /// Set once the proxy takes no new connections: it is live, and not ready.
    pub(super) stopping: AtomicBool,
}

impl BoundServer {
    /// Binds everything that is named, or takes what was passed on.
    ///
    /// # Errors
    /// Every address that cannot be had; then none is kept.
    pub fn bind(admin: &Admin, inherited: &Inherited) -> Result<BoundServer, Vec<Mistake>> {
        let mut bound = BoundServer::default();
        let mut mistakes = Vec::new();
        for wanted in &admin.binds {
            let done = match wanted {
                AdminBind::Tcp(address) => bound.tcp(entrance(*address), *address, inherited),
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
            if let Err(error) = bound.tcp(Entrance::Probes, *address, inherited) {
                mistakes.push(Mistake::cannot_listen("--probeBind", &address.to_string(), &error));
            }
        }
        if mistakes.is_empty() { Ok(bound) } else { Err(mistakes) }
    }

    fn tcp(&mut self, entrance: Entrance, address: SocketAddr, inherited: &Inherited) -> io::Result<()> {
        for listener in inherited.listen(address, 1)? {
            self.tcp.push((entrance, listener.local_addr()?, listener));
        }
        Ok(())
    }

    fn unix(&mut self, path: PathBuf, inherited: &Inherited) -> io::Result<()> {
        let socket = inherited.listen_unix(&path)?;
        self.unix.push((path, socket));
        Ok(())
    }

    /// Opens them, on the runtime that this is called on.
    #[must_use]
    pub fn open(self, controller: &Arc<Controller>) -> Server {
        let BoundServer { tcp, unix } = self;
        let bound: Vec<_> = tcp.iter().map(|(entrance, address, _)| (route(*entrance), *address)).collect();
        controller.view().set_admin_addresses(&bound);
        let shared = Shared {
            controller: Arc::clone(controller),
            log_limit: LogLimit::default(),
            bound,
            stopping: AtomicBool::new(false),
        };
        let (shared, drain) = (Arc::new(shared), Drain::new());
        let (by_tcp, probes) =
            (AdminConnectionLimit::new(share(ADMIN_CONNECTIONS)), AdminConnectionLimit::new(share(PROBE_CONNECTIONS)));
        for (entrance, _, listener) in tcp {
            let limit = if entrance == Entrance::Probes { &probes } else { &by_tcp };
            let host = Host { shared: Arc::clone(&shared), entrance, limit: limit.clone(), watch: drain.watch() };
            tokio::spawn(host.accept(listener));
        }
        let (by_unix, mut sockets) = (AdminConnectionLimit::new(share(ADMIN_UNIX_CONNECTIONS)), Vec::new());
        for (path, socket) in unix {
            let entrance = Entrance::Unix;
            let host = Host { shared: Arc::clone(&shared), entrance, limit: by_unix.clone(), watch: drain.watch() };
            tokio::spawn(host.accept_unix(socket));
            sockets.push(path);
        }
        Server { shared, drain, sockets }
    }
}

impl Server {
    /// The Unix sockets listened on.
    #[must_use]
    pub fn sockets(&self) -> &[PathBuf] {
        &self.sockets
    }

    /// From now on the proxy is not ready, for it takes no new connections. Everything else goes on.
    pub fn stopping(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }

    /// Closes them. Answers under way are given a moment.
    pub async fn close(self) {
        self.drain.start();
        self.drain.wait(ADMIN_FAREWELL, std::future::pending()).await;
    }
}

impl Shared {
    /// The options of the admin port in force.
    pub(super) fn admin(&self) -> Admin {
        self.controller.view().settings().admin
    }
}

/// Receives the connections of one listener.
struct Host {
    shared: Arc<Shared>,
    entrance: Entrance,
    limit: AdminConnectionLimit,
    watch: drain::DrainWatch,
}

impl Host {
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
            if let Some(received) = self.receive(Some(peer)) {
                tokio::spawn(connection::tcp(socket, peer, received));
            }
            // One that has to make room does so before the next is let in, so that descriptors stay bounded.
            tokio::task::yield_now().await;
        }
    }

    /// The socket's file goes when this is over.
    async fn accept_unix(self, socket: UnixSocket) {
        let listener = match tokio::net::UnixListener::from_std(socket.listener) {
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
                    if let Some(received) = self.receive(None) {
                        tokio::spawn(connection::unix(socket, received));
                    }
                    tokio::task::yield_now().await;
                }
                // Out of descriptors or memory, which does not pass at once.
                Err(_) => tokio::time::sleep(ACCEPT_BACKOFF_MOST).await,
            }
        }
    }

    /// A place for a connection, unless all others are being served.
    fn receive(&self, peer: Option<SocketAddr>) -> Option<Received> {
        let Some(slot) = self.limit.admit() else {
            self.shared.log_limit.refused(peer, None, "all admin connections are being served");
            return None;
        };
        let (shared, watch) = (Arc::clone(&self.shared), self.watch.clone());
        Some(Received { shared, entrance: self.entrance, slot, watch })
    }
}

/// A wildcard is no loopback address, whoever connects to it.
fn entrance(address: SocketAddr) -> Entrance {
    if address.ip().to_canonical().is_loopback() { Entrance::Loopback } else { Entrance::Remote }
}

fn route(entrance: Entrance) -> Arc<str> {
    match entrance {
        Entrance::Loopback | Entrance::Remote | Entrance::Unix => "admin".into(),
        Entrance::Probes => "probes".into(),
    }
}

/// So many connections, or as many as the descriptors kept back for all doors carry.
fn share(most: usize) -> usize {
    let kept = usize::try_from((descriptor_limit() / 4).min(DOOR_DESCRIPTORS)).unwrap_or_default();
    let all = usize::try_from(DOOR_DESCRIPTORS).unwrap_or(usize::MAX);
    (most * kept / all).max(1)
}
