//! A route as served by its listeners, and the destination of each connection.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::net::TcpStream;

use super::interception::{self, NotIntercepted};
use crate::net::{OwnDials, original_destination};
use crate::route::{FrontedServer, Route, RouteTarget};
use crate::state::MemberListReader;
use crate::telemetry::{Metrics, RedirectedTo, RouteRecord};
use crate::upstream::Upstream;

/// A route as served by one of its listeners.
#[derive(Debug)]
pub(super) struct ServedRoute {
    pub(super) route: Arc<Route>,
    /// The listener's address, if the listener is transparent. By TPROXY, such a listener also gets the connections that
    /// clients made to other addresses.
    transparent: Option<SocketAddr>,
    /// Looked up once, at the first connection.
    record: OnceLock<Arc<RouteRecord>>,
}

/// The destination of one connection.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) upstream: Arc<Upstream>,
    /// The addresses of the redirect, if the kernel redirected the connection.
    pub(super) redirected: Option<RedirectedTo>,
}

/// Why a connection has no destination.
#[derive(Debug, thiserror::Error)]
pub(super) enum RedirectError {
    #[error("the client connected to this listener directly; only connections redirected by the kernel are accepted")]
    ToListener,
    #[error(
        "it is one of tlsramp's own connections: the redirect does not exempt this process; run tlsramp with the \
         primary group of tlsramp netfilter --exemptGroup"
    )]
    OwnDial,
    #[error(
        "it is one of tlsramp's own connections and would loop: the upstream's name or address leads back to tlsramp; \
         configure the server's own address"
    )]
    Loop,
    #[error("the kernel does not report the original destination: {0}")]
    Unknown(#[from] io::Error),
}

impl ServedRoute {
    pub(super) fn new(route: Arc<Route>, transparent: Option<SocketAddr>) -> ServedRoute {
        ServedRoute { route, transparent, record: OnceLock::new() }
    }

    /// Returns the address that the client connected to, if the listener is transparent. `None` for other listeners:
    /// clients can reach them only by their own address.
    pub(super) fn connected_to(
        &self,
        socket: &TcpStream,
        peer: SocketAddr,
    ) -> Result<Option<SocketAddr>, NotIntercepted> {
        self.transparent.map(|listener| interception::destination(listener, socket, peer)).transpose()
    }

    /// Returns the destination of a connection.
    pub(super) fn destination(
        &self,
        socket: &TcpStream,
        peer: SocketAddr,
        dials: &OwnDials,
        members: &MemberListReader,
    ) -> Result<Destination, RedirectError> {
        let is_loop = dials.is_loop(peer, self.route.acceptance, || accepted_at(socket));
        match &self.route.target {
            RouteTarget::Upstream(_) if is_loop => Err(RedirectError::Loop),
            RouteTarget::OriginalDestination(_) if is_loop => Err(RedirectError::OwnDial),
            RouteTarget::Upstream(upstream) => Ok(Destination { upstream: Arc::clone(upstream), redirected: None }),
            RouteTarget::OriginalDestination(fronted) => redirected(socket, fronted.as_ref(), members),
        }
    }

    /// Returns the route's record, to which the records of its connections refer.
    pub(super) fn record(&self, metrics: &Metrics) -> &Arc<RouteRecord> {
        self.record.get_or_init(|| {
            let (id, name) = (self.route.id.clone(), self.route.id.name());
            let metrics = metrics.route(&name);
            Arc::new(RouteRecord { id, name, metrics })
        })
    }
}

/// Returns the destination of a connection that the kernel redirected.
fn redirected(
    socket: &TcpStream,
    fronted: Option<&FrontedServer>,
    members: &MemberListReader,
) -> Result<Destination, RedirectError> {
    let original = canonical(original_destination(socket)?);
    if original == canonical(socket.local_addr()?) {
        return Err(RedirectError::ToListener);
    }
    let dialled = fronted.and_then(|fronted| fronted.inbound_address(original)).unwrap_or(original);
    let upstream = Upstream::address(original.to_string(), dialled, members.load().names_at(original));
    Ok(Destination { upstream: Arc::new(upstream), redirected: Some(RedirectedTo { original, dialled }) })
}

/// Returns the local address of a connection, and its original destination if the kernel redirected it.
fn accepted_at(socket: &TcpStream) -> [Option<SocketAddr>; 2] {
    [socket.local_addr().ok(), original_destination(socket).ok()]
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
