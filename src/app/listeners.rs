//! The listeners of a running proxy, and how they follow a reload: new ones are bound before anything changes.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::capabilities::not_transparent;
use crate::config::{InboundSettings, Mistake, OutboundSettings, Settings};
use crate::control::{ListenerControl, Staged};
use crate::drain;
use crate::net::{ConnectionLimit, Inherited, SlotLimits, SlotUsage, TRANSPARENT_IPS, make_transparent};
use crate::proxy::{OpenRoute, Pulse, Server};
use crate::route::{Route, RouteId, Routes};
use crate::state::MemberListReader;

/// Everything that is listened on.
#[derive(Debug)]
pub(super) struct Listeners {
    state: Mutex<State>,
    workers: usize,
    inbound_seats: ConnectionLimit,
    outbound_seats: ConnectionLimit,
    /// Sockets that were passed on.
    inherited: Inherited,
    members: MemberListReader,
    /// How many inbound connections the descriptors carry, those of outbound routes kept back.
    inbound_most: usize,
}

/// What the connections of one direction have in common.
#[derive(Debug)]
pub(super) struct Direction {
    pub(super) seats: ConnectionLimit,
    pub(super) watch: drain::Watch,
}

#[derive(Debug)]
struct State {
    /// Gone once the proxy takes no new inbound connections.
    inbound_watch: Option<drain::Watch>,
    /// Gone once it takes no new outbound ones.
    outbound_watch: Option<drain::Watch>,
    server: Server,
    inbound: Vec<(SocketAddr, OpenRoute)>,
    outbound: HashMap<Key, Leading>,
    transparent: Vec<(SocketAddr, OpenRoute)>,
}

/// An outbound listener by the address that the settings name, and which one of that address it is: port 0 may be
/// named more than once.
type Key = (SocketAddr, usize);

#[derive(Debug)]
struct Leading {
    route: Arc<Route>,
    bound: SocketAddr,
    open: OpenRoute,
}

/// One address of a route, bound and not yet open.
struct Bound {
    route: Arc<Route>,
    address: SocketAddr,
    transparent: bool,
    listeners: Vec<TcpListener>,
}

/// One outbound route, ready to be opened or led elsewhere.
struct Ready {
    key: Key,
    route: Arc<Route>,
    /// New listeners; none where the address is listened on already.
    listeners: Vec<TcpListener>,
}

impl Listeners {
    /// Binds and opens everything.
    pub(super) fn open(
        server: Server,
        settings: &Settings,
        routes: &Routes,
        inbound: Direction,
        outbound: Direction,
        members: MemberListReader,
        inherited: Inherited,
    ) -> Result<Listeners, Vec<Mistake>> {
        let inbound_most = inbound.seats.size();
        let state = State {
            inbound_watch: Some(inbound.watch),
            outbound_watch: Some(outbound.watch),
            server,
            inbound: Vec::new(),
            outbound: HashMap::new(),
            transparent: Vec::new(),
        };
        let listeners = Listeners {
            state: Mutex::new(state),
            workers: settings.workers,
            inbound_seats: inbound.seats,
            outbound_seats: outbound.seats,
            inherited,
            members,
            inbound_most,
        };
        let inbound = settings.inbound.as_ref().zip(routes.inbound.as_ref());
        let inbound = inbound.map(|(inbound, route)| listeners.bind_inbound(inbound, route));
        let transparent = settings.transparent.zip(routes.transparent.as_ref());
        let transparent = transparent.map(|(port, route)| listeners.bind_transparent(port, route));
        let outbound = listeners.ready(settings, routes);
        let (inbound, transparent, outbound) = match (inbound.transpose(), transparent.transpose(), outbound) {
            (Ok(inbound), Ok(transparent), Ok(outbound)) => (inbound, transparent, outbound),
            (inbound, transparent, outbound) => {
                let mistakes = [inbound.err(), transparent.err(), outbound.err()];
                return Err(mistakes.into_iter().flatten().flatten().collect());
            }
        };
        listeners.cut(settings);
        listeners.resize(settings);
        {
            let mut state = listeners.state();
            for bound in inbound.into_iter().flatten() {
                let opened = state.open(bound, &listeners.inbound_seats, state.inbound_watch.as_ref());
                state.inbound.extend(opened);
            }
            for bound in transparent.into_iter().flatten() {
                let opened = state.open(bound, &listeners.outbound_seats, state.outbound_watch.as_ref());
                state.transparent.extend(opened);
            }
            state.lead(settings, outbound, &listeners.outbound_seats);
        }
        Ok(listeners)
    }

    fn addresses(&self) -> Vec<(RouteId, SocketAddr)> {
        let state = self.state();
        let inbound = state.inbound.iter().map(|(address, _)| (RouteId::Inbound, *address));
        let outbound = state.outbound.values().map(|leading| (leading.route.id.clone(), leading.bound));
        let transparent = state.transparent.iter().map(|(address, _)| (RouteId::Transparent, *address));
        inbound.chain(outbound).chain(transparent).collect()
    }

    /// The effective `maxIncomingConnections`, and what bounds it.
    pub(super) fn max_incoming(&self) -> (usize, &'static str) {
        let size = self.inbound_seats.size();
        (size, if size < self.inbound_most { "maxIncomingConnections" } else { "descriptor limit" })
    }

    pub(super) fn pulse(&self) -> Pulse {
        self.state().server.pulse()
    }

    /// Whether there is an outbound route.
    pub(super) fn leads_out(&self) -> bool {
        let state = self.state();
        !state.outbound.is_empty() || !state.transparent.is_empty()
    }

    /// Ends listening for inbound connections, for good.
    pub(super) fn close_inbound(&self) {
        let mut state = self.state();
        state.inbound_watch = None;
        state.inbound.clear();
    }

    /// Ends listening for outbound connections, for good.
    pub(super) fn close_outbound(&self) {
        let mut state = self.state();
        state.outbound_watch = None;
        state.outbound.clear();
        state.transparent.clear();
    }

    /// Says so if the settings want more inbound connections than the descriptors carry: as in mongod, the number is cut.
    fn cut(&self, settings: &Settings) {
        let (asked, most) = (settings.max_incoming.unwrap_or(self.inbound_most), self.inbound_most);
        if asked > most {
            tracing::warn!(
                asked,
                most,
                "maxIncomingConnections is cut to what the descriptor limit carries; raise it (ulimit -n, LimitNOFILE)"
            );
        }
    }

    /// So many inbound seats as the settings say, and no more than the descriptors carry. None are kept while no member
    /// but the own server is known.
    fn resize(&self, settings: &Settings) {
        let size = settings.max_incoming.unwrap_or(self.inbound_most).min(self.inbound_most);
        let members = self.members.load();
        let kept = if members.members().len() > 1 { settings.member_reserve } else { 0 };
        let limits = SlotLimits { size, kept, per_address: settings.max_per_ip };
        self.inbound_seats.resize(limits, |ip| members.has(ip));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bind_inbound(&self, inbound: &InboundSettings, route: &Arc<Route>) -> Result<Vec<Bound>, Vec<Mistake>> {
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
                    ready.push(Bound { route, address, transparent, listeners });
                }
                Err(error) => {
                    mistakes.push(Mistake::cannot_listen("--port, --bind_ip", &address.to_string(), &error));
                }
            }
        }
        if mistakes.is_empty() { Ok(ready) } else { Err(mistakes) }
    }

    /// Both loopback addresses; that of IPv6 where this host has it.
    fn bind_transparent(&self, port: u16, route: &Arc<Route>) -> Result<Vec<Bound>, Vec<Mistake>> {
        let mut ready = Vec::<Bound>::new();
        for ip in TRANSPARENT_IPS {
            // The kernel's choice for the first is that for both.
            let port = ready.first().map_or(port, |bound| bound.address.port());
            match self.bind_all(SocketAddr::new(ip, port)) {
                Ok((address, listeners)) => {
                    ready.push(Bound { route: Arc::clone(route), address, transparent: false, listeners });
                }
                Err(error) if ip.is_ipv6() && lacks_ipv6(&error) => {
                    tracing::info!(%error, "no IPv6 on this host: outboundTransparent listens on 127.0.0.1 alone");
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

    /// Readies the outbound routes that are new or lead elsewhere.
    fn ready(&self, settings: &Settings, routes: &Routes) -> Result<Vec<Ready>, Vec<Mistake>> {
        let state = self.state();
        let mut ready = Vec::new();
        let mut mistakes = Vec::new();
        for ((key, outbound), route) in keys(settings).into_iter().zip(&settings.outbound).zip(&routes.outbound) {
            let known = state.outbound.get(&key);
            if known.is_some_and(|leading| Arc::ptr_eq(&leading.route, route)) {
                continue;
            }
            let bound =
                if known.is_some() { Ok(Vec::new()) } else { self.inherited.listen(outbound.listen, self.workers) };
            match bound {
                Ok(listeners) => ready.push(Ready { key, route: Arc::clone(route), listeners }),
                Err(error) => mistakes.push(cannot_listen(settings, outbound, &error)),
            }
        }
        if mistakes.is_empty() { Ok(ready) } else { Err(mistakes) }
    }
}

impl State {
    fn open(
        &self,
        bound: Bound,
        seats: &ConnectionLimit,
        watch: Option<&drain::Watch>,
    ) -> Option<(SocketAddr, OpenRoute)> {
        let Bound { route, address, transparent, listeners } = bound;
        let open = self.server.open(route, transparent.then_some(address), listeners, seats, watch?);
        Some((address, open))
    }

    /// Opens what was readied and closes what the settings no longer have.
    fn lead(&mut self, settings: &Settings, ready: Vec<Ready>, seats: &ConnectionLimit) {
        let Some(watch) = self.outbound_watch.clone() else { return };
        let keys = keys(settings);
        self.outbound.retain(|key, _| keys.contains(key));
        for Ready { key, route, listeners } in ready {
            if let Some(leading) = self.outbound.get_mut(&key) {
                leading.open.lead(Arc::clone(&route));
                leading.route = route;
                continue;
            }
            let Some(Ok(bound)) = listeners.first().map(TcpListener::local_addr) else { continue };
            let open = self.server.open(Arc::clone(&route), None, listeners, seats, &watch);
            self.outbound.insert(key, Leading { route, bound, open });
        }
    }
}

impl ListenerControl for Arc<Listeners> {
    fn addresses(&self) -> Vec<(RouteId, SocketAddr)> {
        Listeners::addresses(self)
    }

    fn stage(&self, settings: &Settings, routes: &Routes) -> Result<Staged, Vec<Mistake>> {
        let ready = self.ready(settings, routes)?;
        let listeners = Arc::clone(self);
        let settings = settings.clone();
        Ok(Box::new(move || {
            listeners.cut(&settings);
            listeners.resize(&settings);
            listeners.state().lead(&settings, ready, &listeners.outbound_seats);
        }))
    }

    fn members_changed(&self, settings: &Settings) {
        self.resize(settings);
    }

    fn slots(&self) -> [(&'static str, SlotUsage); 2] {
        [("inbound", self.inbound_seats.usage()), ("outbound", self.outbound_seats.usage())]
    }
}

/// The listeners with the address that they are bound to, since the kernel chooses the port where 0 was asked for.
fn bound(address: SocketAddr, sockets: Vec<TcpListener>) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let bound = sockets.first().map_or(Ok(address), TcpListener::local_addr)?;
    Ok((bound, sockets))
}

/// The key of each outbound route, in their order.
fn keys(settings: &Settings) -> Vec<Key> {
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

/// Why an outbound route cannot be listened for. A capability that the process began with is no help any more where all
/// were dropped.
fn cannot_listen(settings: &Settings, outbound: &OutboundSettings, error: &io::Error) -> Mistake {
    let address = outbound.listen.to_string();
    let dropped = settings.inbound.as_ref().is_some_and(|inbound| inbound.transparent);
    if dropped && error.kind() == io::ErrorKind::PermissionDenied {
        return Mistake::of("--outbound", &address, format!("cannot listen: {error}"), DROPPED);
    }
    Mistake::cannot_listen("--outbound", &address, error)
}

/// Whether a listener fails because this host has no IPv6.
pub(super) fn lacks_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// The address family is not there at all (errno(3)); the standard library has no kind for it.
const EAFNOSUPPORT: i32 = 97;
const DROPPED: &str = "choose a port from 1024 up, or restart tlsramp with CAP_NET_BIND_SERVICE: with --inboundTransparent it drops \
    every capability once its listeners are open";
