//! The open listening sockets of every route, and their changes at a reload.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::config::Settings;
use crate::drain;
use crate::net::ConnectionLimit;
use crate::proxy::{OpenRoute, ProxyServer};
use crate::route::Route;

#[derive(Debug)]
pub(super) struct OpenRoutes {
    /// `None` once the inbound listeners are closed for a stop.
    pub(super) inbound_watch: Option<drain::DrainWatch>,
    /// `None` once the outbound listeners are closed for a stop.
    pub(super) outbound_watch: Option<drain::DrainWatch>,
    pub(super) server: ProxyServer,
    pub(super) inbound: Vec<OpenAddress>,
    pub(super) outbound: HashMap<OutboundKey, OpenOutbound>,
    pub(super) transparent: Vec<OpenAddress>,
    /// Whether copies of the sockets are kept for a process that takes them over.
    pub(super) keeps_copies: bool,
}

/// One address of the inbound or of the transparent route.
#[derive(Debug)]
pub(super) struct OpenAddress {
    pub(super) address: SocketAddr,
    /// Copies of the listening sockets.
    copies: Vec<TcpListener>,
    pub(super) open: OpenRoute,
}

/// Identifies an outbound listener: its address in the settings, and its index among the listeners with the same
/// address, because port 0 may be given more than once.
pub(super) type OutboundKey = (SocketAddr, usize);

#[derive(Debug)]
pub(super) struct OpenOutbound {
    pub(super) route: Arc<Route>,
    pub(super) bound: SocketAddr,
    pub(super) open: OpenRoute,
    /// Copies of the listening sockets.
    copies: Vec<TcpListener>,
}

/// One address of a route, bound but not accepting connections yet.
#[derive(Debug)]
pub(super) struct BoundRoute {
    pub(super) route: Arc<Route>,
    pub(super) address: SocketAddr,
    pub(super) transparent: bool,
    pub(super) listeners: Vec<TcpListener>,
}

/// An outbound route to open, or an open one whose upstream changes.
#[derive(Debug)]
pub(super) struct StagedOutbound {
    pub(super) key: OutboundKey,
    pub(super) route: Arc<Route>,
    /// New listeners; empty if the route already has open listeners on the address.
    pub(super) listeners: Vec<TcpListener>,
}

impl OpenRoutes {
    pub(super) fn open(
        &self,
        bound: BoundRoute,
        limit: &ConnectionLimit,
        watch: Option<&drain::DrainWatch>,
    ) -> Option<OpenAddress> {
        let BoundRoute { route, address, transparent, listeners } = bound;
        let copies = self.copies(&listeners);
        let open = self.server.open(route, transparent.then_some(address), listeners, limit, watch?);
        Some(OpenAddress { address, copies, open })
    }

    /// Returns copies of the listening sockets, if `--takeover` is given. If there are no descriptors for them, the
    /// address has no copies, and a process that replaces this one cannot listen on that address.
    fn copies(&self, listeners: &[TcpListener]) -> Vec<TcpListener> {
        let copies = listeners.iter().filter(|_| self.keeps_copies).map(TcpListener::try_clone);
        copies.collect::<io::Result<_>>().unwrap_or_else(|error| {
            tracing::error!(%error, "cannot keep copies of listening sockets, so a new tlsramp cannot replace this one \
                by --takeover; raise the descriptor limit (ulimit -n, LimitNOFILE=)");
            Vec::new()
        })
    }

    /// The copies of all listening sockets, each with the socket's address.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (SocketAddr, &TcpListener)> {
        let inbound = self.inbound.iter().chain(&self.transparent);
        let inbound = inbound.flat_map(|open| open.copies.iter().map(|copy| (open.address, copy)));
        inbound.chain(self.outbound.values().flat_map(|open| open.copies.iter().map(|copy| (open.bound, copy))))
    }

    /// Opens or changes the staged outbound routes, and closes those that are no longer in the settings.
    pub(super) fn apply(&mut self, settings: &Settings, staged: Vec<StagedOutbound>, limit: &ConnectionLimit) {
        let Some(watch) = self.outbound_watch.clone() else { return };
        let keys = keys(settings);
        self.outbound.retain(|key, _| keys.contains(key));
        for StagedOutbound { key, route, listeners } in staged {
            if let Some(open_outbound) = self.outbound.get_mut(&key) {
                open_outbound.open.lead(Arc::clone(&route));
                open_outbound.route = route;
                continue;
            }
            let Some(Ok(bound)) = listeners.first().map(TcpListener::local_addr) else { continue };
            let copies = self.copies(&listeners);
            let open = self.server.open(Arc::clone(&route), None, listeners, limit, &watch);
            self.outbound.insert(key, OpenOutbound { route, bound, open, copies });
        }
    }
}

/// Returns the sockets with the address that they are bound to. If `address` has port 0, the returned address has the
/// port that the kernel chose.
pub(super) fn bound(address: SocketAddr, sockets: Vec<TcpListener>) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let bound = sockets.first().map_or(Ok(address), TcpListener::local_addr)?;
    Ok((bound, sockets))
}

/// Returns the key of each outbound route, in the order of the settings.
pub(super) fn keys(settings: &Settings) -> Vec<OutboundKey> {
    let mut seen = HashMap::<SocketAddr, usize>::new();
    let routes = settings.outbound.iter();
    routes
        .map(|outbound| {
            let count = seen.entry(outbound.listen).or_default();
            *count += 1;
            (outbound.listen, *count)
        })
        .collect()
}
