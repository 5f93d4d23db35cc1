//! Routes: how the connections of a listener are handled, and which upstream they reach. Routes are built once per
//! configuration and shared by the proxy and the probe, so that the probe tests the upstream that connections reach.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::config::{InboundSettings, Mistake, OutboundSettings, Settings};
use crate::net::{HostPort, Resolvers, UpstreamAddress, is_own};
use crate::policy::{Acceptance, LinkRule};
use crate::upstream::{BadName, Upstream};

/// Identifies a route in records, metrics and replies. Each variant's documentation gives its name there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteId {
    /// `inbound`
    Inbound,
    /// `outbound HOST:PORT`
    Outbound(Arc<HostPort>),
    /// `outbound transparent`
    Transparent,
}

/// The rules and the target that all connections of a listener share.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// The identity of the route.
    pub id: RouteId,
    /// Which openings are accepted, and whether TLS is terminated or passed through.
    pub acceptance: Acceptance,
    /// How the link to the upstream is chosen.
    pub link_rule: LinkRule,
    /// The server or servers that the route connects to.
    pub target: RouteTarget,
}

/// The target of a route.
#[derive(Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// One server.
    Upstream(Arc<Upstream>),
    /// The original destination of each redirected connection. Connections to the server that this proxy fronts, if it
    /// has a TCP address, use the inbound route.
    OriginalDestination(Option<FrontedServer>),
}

/// Recognizes redirected connections to the server behind the inbound route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontedServer {
    /// The server's port.
    port: u16,
    /// The addresses of the inbound listeners.
    binds: Vec<SocketAddr>,
}

/// The routes of one configuration.
#[derive(Debug, Default)]
pub struct Routes {
    /// The inbound route.
    pub inbound: Option<Arc<Route>>,
    /// The outbound routes, in the order of the settings.
    pub outbound: Vec<Arc<Route>>,
    /// The route of redirected connections.
    pub transparent: Option<Arc<Route>>,
    resolvers: Resolvers,
}

impl Routes {
    /// Builds the routes of the first configuration. The routes of later configurations share its resolvers.
    ///
    /// # Errors
    /// A mistake for each server name that is neither a DNS name nor an IP address.
    pub fn new(settings: &Settings, resolvers: Resolvers) -> Result<Routes, Vec<Mistake>> {
        Routes { resolvers, ..Routes::default() }.updated(settings)
    }

    /// Builds the routes of the next configuration. A route that did not change stays the same object.
    ///
    /// # Errors
    /// A mistake for each server name that is neither a DNS name nor an IP address.
    pub fn updated(&self, settings: &Settings) -> Result<Routes, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut checked = |option: &str, value: &str, built: Result<Route, BadName>| match built {
            Ok(route) => Some(self.known(route)),
            Err(error) => {
                mistakes.push(Mistake::of(option, value, error.to_string(), NAME_REMEDY));
                None
            }
        };
        let inbound = settings.inbound.as_ref().and_then(|inbound| {
            checked("--upstream", &inbound.upstream.to_string(), Route::inbound(inbound, &self.resolvers))
        });
        let outbound = settings
            .outbound
            .iter()
            .filter_map(|outbound| checked("--outbound", &outbound.name, Route::outbound(outbound, &self.resolvers)));
        let outbound = outbound.collect();
        let transparent = settings.transparent.map(|_| self.known(Route::transparent(settings)));
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Routes { inbound, outbound, transparent, resolvers: self.resolvers.clone() })
    }

    /// Returns the equal route of the previous configuration if there is one, otherwise `route`.
    fn known(&self, route: Route) -> Arc<Route> {
        let mut known = self.inbound.iter().chain(&self.outbound).chain(&self.transparent);
        known.find(|known| ***known == route).map_or_else(|| Arc::new(route), Arc::clone)
    }
}

impl Route {
    /// The inbound route.
    ///
    /// # Errors
    /// [`BadName`] if the server's name is neither a DNS name nor an IP address.
    pub fn inbound(inbound: &InboundSettings, resolvers: &Resolvers) -> Result<Route, BadName> {
        let upstream = match &inbound.upstream {
            UpstreamAddress::Unix(path) => Upstream::unix(path),
            UpstreamAddress::Tcp(target) => {
                Upstream::tcp(resolvers.get(target), target.to_string(), &target.host, inbound.source)?
            }
        };
        let target = RouteTarget::Upstream(Arc::new(upstream));
        Ok(Route { id: RouteId::Inbound, acceptance: inbound.acceptance, link_rule: inbound.link, target })
    }

    fn outbound(outbound: &OutboundSettings, resolvers: &Resolvers) -> Result<Route, BadName> {
        let OutboundSettings { target, name, .. } = outbound;
        let upstream = Upstream::tcp(resolvers.get(target), target.to_string(), name, None)?;
        let id = RouteId::Outbound(Arc::new(target.clone()));
        Ok(Route::to(id, RouteTarget::Upstream(Arc::new(upstream))))
    }

    fn transparent(settings: &Settings) -> Route {
        let fronted = settings.inbound.as_ref().and_then(FrontedServer::of);
        Route::to(RouteId::Transparent, RouteTarget::OriginalDestination(fronted))
    }

    /// Creates an outbound route.
    fn to(id: RouteId, target: RouteTarget) -> Route {
        Route { id, acceptance: Acceptance::Outbound, link_rule: LinkRule::Policy, target }
    }

    /// Returns whether the upstream receives the server name (SNI) that the client requested.
    pub fn passes_sni(&self) -> bool {
        self.acceptance != Acceptance::Outbound
    }
}

impl RouteId {
    /// Returns the route's name in records, metrics and replies.
    pub fn name(&self) -> Arc<str> {
        self.to_string().into()
    }
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteId::Inbound => f.write_str("inbound"),
            RouteId::Outbound(target) => write!(f, "outbound {target}"),
            RouteId::Transparent => f.write_str("outbound transparent"),
        }
    }
}

impl Serialize for RouteId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FrontedServer {
    fn of(inbound: &InboundSettings) -> Option<FrontedServer> {
        match &inbound.upstream {
            UpstreamAddress::Tcp(target) => Some(FrontedServer { port: target.port, binds: inbound.binds.clone() }),
            UpstreamAddress::Unix(_) => None,
        }
    }

    /// Returns the address of an inbound listener if `original` is the server's port on an address of this host. mongod
    /// dials its own name to find itself in the replica set; the inbound policy applies to such a connection.
    pub fn inbound_address(&self, original: SocketAddr) -> Option<SocketAddr> {
        let ip = original.ip().to_canonical();
        if original.port() != self.port || !is_own(ip) {
            return None;
        }
        let listens_there =
            |bind: &&SocketAddr| bind.ip() == ip || (bind.ip().is_unspecified() && bind.is_ipv4() == ip.is_ipv4());
        let bind = self.binds.iter().find(listens_there);
        bind.map(|bind| SocketAddr::new(ip, bind.port())).or_else(|| self.binds.first().copied())
    }
}

const NAME_REMEDY: &str = "name the server as its certificate does: a DNS name or an IP address";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{FrontedServer, RouteId, Routes};
    use crate::net::Resolvers;

    #[test]
    fn the_fronted_server_is_reached_by_the_inbound_route() {
        let fronted = |binds: &[&str]| FrontedServer {
            port: 27017,
            binds: binds.iter().map(|bind| bind.parse().unwrap()).collect(),
        };
        let rows: &[(&[&str], &str, Option<&str>)] = &[
            (&["0.0.0.0:27117"], "127.0.0.9:27017", Some("127.0.0.9:27117")),
            (&["127.0.0.9:1", "127.0.0.8:1"], "127.0.0.8:27017", Some("127.0.0.8:1")),
            (&["[::]:27117", "127.0.0.1:27117"], "127.0.0.9:27017", Some("[::]:27117")),
            (&["0.0.0.0:27117"], "127.0.0.9:27018", None),
            (&["0.0.0.0:27117"], "192.0.2.1:27017", None),
        ];
        for (binds, original, expected) in rows {
            let found = fronted(binds).inbound_address(original.parse().unwrap());
            assert_eq!(found, expected.map(|address| address.parse().unwrap()), "{binds:?} {original}");
        }
    }

    fn settings(args: &[&str]) -> crate::config::Settings {
        let command = crate::config::with_options(clap::Command::new("run"));
        let all = [&["run", "--upstream=db1.invalid:1", "--tlsMode=disabled"], args].concat();
        crate::config::load(&command.try_get_matches_from(all).unwrap()).unwrap().settings
    }

    #[test]
    fn a_route_that_did_not_change_stays_the_same() {
        let before = Routes::new(
            &settings(&["--outbound=127.0.1.2:0=10.0.0.2:27017,name=db2", "--outbound=127.0.1.3:0=10.0.0.3:27017"]),
            Resolvers::default(),
        );
        let before = before.unwrap();
        let after =
            settings(&["--outbound=127.0.1.2:0=10.0.0.2:27017,name=db4", "--outbound=127.0.1.3:0=10.0.0.3:27017"]);
        let after = before.updated(&after).unwrap();
        assert!(Arc::ptr_eq(before.inbound.as_ref().unwrap(), after.inbound.as_ref().unwrap()));
        let same: Vec<_> =
            before.outbound.iter().zip(&after.outbound).map(|(one, other)| Arc::ptr_eq(one, other)).collect();
        assert_eq!(same, [false, true]);
    }

    #[test]
    fn names_of_routes() {
        let target = Arc::new("[::1]:27017".parse().unwrap());
        let rows = [
            (RouteId::Inbound, "inbound"),
            (RouteId::Outbound(target), "outbound [::1]:27017"),
            (RouteId::Transparent, "outbound transparent"),
        ];
        for (id, name) in rows {
            assert_eq!((id.to_string(), serde_json::to_value(&id).unwrap()), (name.to_owned(), name.into()));
        }
    }
}
