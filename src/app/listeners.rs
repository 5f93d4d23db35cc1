//! The listeners of a running proxy. A reload binds all new listeners before it changes any state.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::timeout;

use super::listener_specs::lacks_ipv6;
use super::open_routes::{BoundRoute, OpenRoutes, StagedOutbound, bound, keys};
use super::transparency::not_transparent;
use super::unexpected_sockets::left_out;
use crate::config::{InboundSettings, Mistake, OutboundSettings, Settings};
use crate::control::{ListenerControl, Staged};
use crate::drain;
use crate::limits::ACCEPT_ENDS;
use crate::net::{ConnectionLimit, Inherited, SlotLimits, SlotUsage, TRANSPARENT_IPS, make_transparent};
use crate::proxy::{OpenRoute, ProxyServer, WorkerHealth};
use crate::route::{Route, RouteId, Routes};
use crate::state::MemberListReader;

/// All listeners, with the connection limits.
#[derive(Debug)]
pub(super) struct Listeners {
    state: Mutex<OpenRoutes>,
    workers: usize,
    inbound_limit: ConnectionLimit,
    outbound_limit: ConnectionLimit,
    /// Sockets inherited from the service manager.
    pub(super) inherited: Inherited,
    members: MemberListReader,
    /// The number of inbound connections that the descriptor limit allows.
    inbound_max: usize,
}

/// The connection limit and the drain of one direction.
#[derive(Debug)]
pub(super) struct ConnectionGroup {
    pub(super) limit: ConnectionLimit,
    pub(super) watch: drain::DrainWatch,
}

/// All listeners of the settings at start, bound but not accepting connections yet.
#[derive(Debug)]
pub(super) struct BoundListeners {
    pub(super) listeners: Arc<Listeners>,
    inbound: Vec<BoundRoute>,
    transparent: Vec<BoundRoute>,
    outbound: Vec<StagedOutbound>,
}

impl BoundListeners {
    /// Accepts connections from now on.
    pub(super) fn open(self, settings: &Settings) {
        let BoundListeners { listeners, inbound, transparent, outbound } = self;
        listeners.inherited.close_unused();
        let mut state = listeners.state();
        for bound in inbound {
            let opened = state.open(bound, &listeners.inbound_limit, state.inbound_watch.as_ref());
            state.inbound.extend(opened);
        }
        for bound in transparent {
            let opened = state.open(bound, &listeners.outbound_limit, state.outbound_watch.as_ref());
            state.transparent.extend(opened);
        }
        state.apply(settings, outbound, &listeners.outbound_limit);
    }
}

impl Listeners {
    /// Binds all listeners.
    pub(super) fn bind(
        server: ProxyServer,
        settings: &Settings,
        routes: &Routes,
        inbound: ConnectionGroup,
        outbound: ConnectionGroup,
        members: MemberListReader,
        inherited: Inherited,
    ) -> Result<BoundListeners, Vec<Mistake>> {
        let inbound_max = inbound.limit.size();
        let state = OpenRoutes {
            inbound_watch: Some(inbound.watch),
            outbound_watch: Some(outbound.watch),
            server,
            inbound: Vec::new(),
            outbound: HashMap::new(),
            transparent: Vec::new(),
            keeps_copies: settings.admin.takeover.is_some(),
        };
        let listeners = Listeners {
            state: Mutex::new(state),
            workers: settings.workers,
            inbound_limit: inbound.limit,
            outbound_limit: outbound.limit,
            inherited,
            members,
            inbound_max,
        };
        let inbound = settings.inbound.as_ref().zip(routes.inbound.as_ref());
        let inbound = inbound.map(|(inbound, route)| listeners.bind_inbound(inbound, route));
        let transparent = settings.transparent.zip(routes.transparent.as_ref());
        let transparent = transparent.map(|(port, route)| listeners.bind_transparent(port, route));
        let outbound = listeners.stage_outbound(settings, routes);
        let (inbound, transparent, outbound) = match (inbound.transpose(), transparent.transpose(), outbound) {
            (Ok(inbound), Ok(transparent), Ok(outbound)) => (inbound, transparent, outbound),
            (inbound, transparent, outbound) => {
                let mistakes = [inbound.err(), transparent.err(), outbound.err()];
                return Err(mistakes.into_iter().flatten().flatten().collect());
            }
        };
        listeners.warn_if_reduced(settings);
        listeners.resize(settings);
        let (inbound, transparent) = (inbound.unwrap_or_default(), transparent.unwrap_or_default());
        Ok(BoundListeners { listeners: Arc::new(listeners), inbound, transparent, outbound })
    }

    /// The listening sockets of all routes, copied for a takeover, with their addresses.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(super) fn sockets(&self) -> io::Result<Vec<(SocketAddr, OwnedFd)>> {
        let state = self.state();
        state.sockets().map(|(address, socket)| Ok((address, socket.try_clone()?.into()))).collect()
    }

    fn addresses(&self) -> Vec<(RouteId, SocketAddr)> {
        let state = self.state();
        let inbound = state.inbound.iter().map(|open| (RouteId::Inbound, open.address));
        let outbound =
            state.outbound.values().map(|open_outbound| (open_outbound.route.id.clone(), open_outbound.bound));
        let transparent = state.transparent.iter().map(|open| (RouteId::Transparent, open.address));
        inbound.chain(outbound).chain(transparent).collect()
    }

    /// Returns the effective `maxIncomingConnections` and its source.
    pub(super) fn max_incoming(&self) -> (usize, &'static str) {
        let size = self.inbound_limit.size();
        (size, if size < self.inbound_max { "maxIncomingConnections" } else { "descriptor limit" })
    }

    pub(super) fn worker_health(&self) -> WorkerHealth {
        self.state().server.worker_health()
    }

    pub(super) fn has_outbound(&self) -> bool {
        let state = self.state();
        !state.outbound.is_empty() || !state.transparent.is_empty()
    }

    /// Closes the inbound listeners; later reloads do not open them again.
    pub(super) async fn close_inbound(&self) {
        let open = {
            let mut state = self.state();
            state.inbound_watch = None;
            std::mem::take(&mut state.inbound)
        };
        close(open.into_iter().map(|open| open.open)).await;
    }

    /// Closes the outbound listeners; later reloads do not open them again.
    pub(super) async fn close_outbound(&self) {
        let (outbound, transparent) = {
            let mut state = self.state();
            state.outbound_watch = None;
            (std::mem::take(&mut state.outbound), std::mem::take(&mut state.transparent))
        };
        let outbound = outbound.into_values().map(|open| open.open);
        close(outbound.chain(transparent.into_iter().map(|open| open.open))).await;
    }

    /// Logs a warning if `maxIncomingConnections` exceeds what the descriptor limit allows. As in mongod, the value is
    /// reduced.
    fn warn_if_reduced(&self, settings: &Settings) {
        let (asked, most) = (settings.max_incoming.unwrap_or(self.inbound_max), self.inbound_max);
        if asked > most {
            tracing::warn!(
                asked,
                most,
                "maxIncomingConnections exceeds what the descriptor limit allows and was reduced; raise the limit \
                 (ulimit -n, LimitNOFILE=)"
            );
        }
    }

    /// Sets the inbound connection limit from the settings, up to what the descriptor limit allows. No slots are
    /// reserved for members while fewer than two members are known: a single one is usually the server that this proxy
    /// fronts.
    fn resize(&self, settings: &Settings) {
        let size = settings.max_incoming.unwrap_or(self.inbound_max).min(self.inbound_max);
        let members = self.members.load();
        let kept = if members.members().len() > 1 { settings.member_reserve } else { 0 };
        let limits = SlotLimits { size, kept, per_address: settings.max_per_ip };
        self.inbound_limit.resize(limits, |ip| members.has(ip));
    }

    fn state(&self) -> MutexGuard<'_, OpenRoutes> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bind_inbound(&self, inbound: &InboundSettings, route: &Arc<Route>) -> Result<Vec<BoundRoute>, Vec<Mistake>> {
        let mut ready = Vec::new();
        let mut mistakes = Vec::new();
        for address in &inbound.binds {
            let bound =
                self.inherited.listen_inbound(*address, self.workers).and_then(|sockets| bound(*address, sockets));
            match bound {
                Ok((address, listeners)) => {
                    if inbound.transparent {
                        let refused = listeners.iter().find_map(|listener| make_transparent(listener).err());
                        mistakes.extend(refused.map(|error| not_transparent(address, &error)));
                    }
                    let (route, transparent) = (Arc::clone(route), inbound.transparent);
                    ready.push(BoundRoute { route, address, transparent, listeners });
                }
                Err(error) => {
                    mistakes.push(Mistake::cannot_listen("--port, --bind_ip", &address.to_string(), &error));
                }
            }
        }
        if mistakes.is_empty() { Ok(ready) } else { Err(mistakes) }
    }

    /// Binds both loopback addresses; the IPv6 one only if this host has IPv6.
    fn bind_transparent(&self, port: u16, route: &Arc<Route>) -> Result<Vec<BoundRoute>, Vec<Mistake>> {
        let mut ready = Vec::<BoundRoute>::new();
        for ip in TRANSPARENT_IPS {
            // For port 0, the port that the kernel chose for the first address is used for both.
            let port = ready.first().map_or(port, |bound| bound.address.port());
            match self.bind_all(SocketAddr::new(ip, port)) {
                Ok((address, listeners)) => {
                    ready.push(BoundRoute { route: Arc::clone(route), address, transparent: false, listeners });
                }
                Err(error) if ip.is_ipv6() && lacks_ipv6(&error) => {
                    tracing::info!(%error, "this host has no IPv6: outboundTransparent listens on 127.0.0.1 only");
                }
                Err(error) => {
                    let address = SocketAddr::new(ip, port).to_string();
                    return Err(vec![Mistake::cannot_listen("--outboundTransparent", &address, &error)]);
                }
            }
        }
        Ok(ready)
    }

    fn bind_all(&self, address: SocketAddr) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
        bound(address, self.inherited.listen(address, self.workers)?)
    }

    /// Binds the listeners of new outbound routes, and stages new routes and routes whose target has changed.
    fn stage_outbound(&self, settings: &Settings, routes: &Routes) -> Result<Vec<StagedOutbound>, Vec<Mistake>> {
        let state = self.state();
        let mut ready = Vec::new();
        let mut mistakes = Vec::new();
        for ((key, outbound), route) in keys(settings).into_iter().zip(&settings.outbound).zip(&routes.outbound) {
            let known = state.outbound.get(&key);
            if known.is_some_and(|open_outbound| Arc::ptr_eq(&open_outbound.route, route)) {
                continue;
            }
            let bound =
                if known.is_some() { Ok(Vec::new()) } else { self.inherited.listen(outbound.listen, self.workers) };
            match bound {
                Ok(listeners) => ready.push(StagedOutbound { key, route: Arc::clone(route), listeners }),
                Err(error) => mistakes.push(cannot_listen(settings, outbound, &error)),
            }
        }
        if mistakes.is_empty() { Ok(ready) } else { Err(mistakes) }
    }
}

impl ListenerControl for Arc<Listeners> {
    fn addresses(&self) -> Vec<(RouteId, SocketAddr)> {
        Listeners::addresses(self)
    }

    fn stage(&self, settings: &Settings, routes: &Routes) -> Result<Staged, Vec<Mistake>> {
        // The service manager keeps a socket open whose listener this reload removes, and nothing would accept from it.
        let left_out = left_out(&self.inherited, settings);
        if !left_out.is_empty() {
            return Err(left_out);
        }
        let ready = self.stage_outbound(settings, routes)?;
        let listeners = Arc::clone(self);
        let settings = settings.clone();
        Ok(Box::new(move || {
            listeners.warn_if_reduced(&settings);
            listeners.resize(&settings);
            listeners.state().apply(&settings, ready, &listeners.outbound_limit);
        }))
    }

    fn members_changed(&self, settings: &Settings) {
        self.resize(settings);
    }

    fn slots(&self) -> [(&'static str, SlotUsage); 2] {
        [("inbound", self.inbound_limit.usage()), ("outbound", self.outbound_limit.usage())]
    }
}

/// Closes routes, and waits until no worker accepts their connections any more. A driver that loses its connections in
/// a stop connects again at once and repeats its operation once. If this process accepted the new connection, it would
/// close that connection too, and the operation would fail.
async fn close(routes: impl Iterator<Item = OpenRoute>) {
    let closed = async {
        for route in routes {
            route.close().await;
        }
    };
    if timeout(ACCEPT_ENDS, closed).await.is_err() {
        tracing::warn!("a worker does not respond, and may still accept connections that this stop closes");
    }
}

/// Returns the mistake for an outbound listener that cannot be opened.
fn cannot_listen(settings: &Settings, outbound: &OutboundSettings, error: &io::Error) -> Mistake {
    let address = outbound.listen.to_string();
    if settings.is_inbound_transparent() && error.kind() == io::ErrorKind::PermissionDenied {
        return Mistake::of("--outbound", &address, format!("cannot listen: {error}"), DROPPED);
    }
    Mistake::cannot_listen("--outbound", &address, error)
}

const DROPPED: &str = "choose a port of 1024 or above, or restart tlsramp with CAP_NET_BIND_SERVICE: with \
    --inboundTransparent, it drops all capabilities once its listeners are open";
