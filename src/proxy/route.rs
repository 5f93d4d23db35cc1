//! A route: what a listener accepts and where it leads.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::net::TcpStream;

use super::handed_over::{self, NotIntercepted};
use super::redirected::{RedirectError, Redirected};
use crate::config::{Inbound, Outbound, Settings};
use crate::net::{OwnDials, UpstreamAddress, original_destination};
use crate::policy::{Acceptance, LinkRule};
use crate::state::MemberListReader;
use crate::telemetry::{Metrics, RedirectedTo, RouteRecord};
use crate::upstream::{BadName, Upstream};

/// What every connection of a listener has in common.
#[derive(Debug)]
pub struct Route {
    /// Its name in records: `inbound`, `outbound HOST:PORT`, or `outbound transparent`.
    pub name: Arc<str>,
    pub(super) acceptance: Acceptance,
    pub(super) link: LinkRule,
    lead: Lead,
    /// The listener's address, if the kernel hands connections to other addresses over to it.
    transparent: Option<SocketAddr>,
    /// Its counts, found once, beside its name.
    record: OnceLock<Arc<RouteRecord>>,
}

/// Where a route leads.
#[derive(Debug)]
enum Lead {
    /// To one server; its name as written, for records.
    To(Arc<Upstream>, Arc<str>),
    /// To where each connection was going before the kernel redirected it.
    Original(Redirected),
}

/// Where one connection is led.
#[derive(Debug)]
pub(super) struct Destination {
    pub(super) upstream: Arc<Upstream>,
    /// The upstream as written, for records.
    pub(super) written: Arc<str>,
    /// Its addresses, where the kernel has redirected the connection.
    pub(super) redirected: Option<RedirectedTo>,
}

impl Route {
    /// The inbound route.
    ///
    /// # Errors
    /// [`BadName`], for a host with characters that no certificate's name has.
    pub fn inbound(inbound: &Inbound) -> Result<Route, BadName> {
        let upstream = match &inbound.upstream {
            UpstreamAddress::Unix(path) => Upstream::Unix(path.clone()),
            UpstreamAddress::Tcp(target) => Upstream::tcp(target, &target.host, inbound.source)?,
        };
        let lead = Lead::To(Arc::new(upstream), inbound.upstream.to_string().into());
        Ok(Route::new("inbound", inbound.acceptance, inbound.link, lead))
    }

    /// An outbound route.
    ///
    /// # Errors
    /// [`BadName`], for a name that no certificate has.
    pub fn outbound(outbound: &Outbound) -> Result<Route, BadName> {
        let upstream = Upstream::tcp(&outbound.target, &outbound.name, None)?;
        let lead = Lead::To(Arc::new(upstream), outbound.target.to_string().into());
        Ok(Route::new(&format!("outbound {}", outbound.target), Acceptance::Outbound, LinkRule::Policy, lead))
    }

    /// The route of connections that the kernel has redirected.
    #[must_use]
    pub fn transparent(settings: &Settings, members: MemberListReader) -> Route {
        let lead = Lead::Original(Redirected::new(settings, members));
        Route::new("outbound transparent", Acceptance::Outbound, LinkRule::Policy, lead)
    }

    fn new(name: &str, acceptance: Acceptance, link: LinkRule, lead: Lead) -> Route {
        Route { name: name.into(), acceptance, link, lead, transparent: None, record: OnceLock::new() }
    }

    /// The same, behind a transparent listener on this address: see [`super::handed_over`].
    #[must_use]
    pub fn handed_over_to(self, listener: SocketAddr) -> Route {
        Route { transparent: Some(listener), ..self }
    }

    /// The address that a connection was made to; `None` where that is the listener's anyway.
    pub(super) fn destination(
        &self,
        socket: &TcpStream,
        peer: SocketAddr,
    ) -> Result<Option<SocketAddr>, NotIntercepted> {
        self.transparent.map(|listener| handed_over::destination(listener, socket, peer)).transpose()
    }

    /// Where a connection is led.
    pub(super) fn toward(
        &self,
        socket: &TcpStream,
        peer: SocketAddr,
        dials: &OwnDials,
    ) -> Result<Destination, RedirectError> {
        if dials.is_loop(peer, self.acceptance, || reached(socket)) {
            return Err(match self.lead {
                Lead::To(..) => RedirectError::Circle,
                Lead::Original(_) => RedirectError::OwnDial,
            });
        }
        match &self.lead {
            Lead::To(upstream, written) => {
                Ok(Destination { upstream: Arc::clone(upstream), written: Arc::clone(written), redirected: None })
            }
            Lead::Original(redirected) => {
                let (upstream, to) = redirected.way(socket)?;
                Ok(Destination {
                    upstream: Arc::new(upstream),
                    written: to.original.to_string().into(),
                    redirected: Some(to),
                })
            }
        }
    }

    /// What its connections' records have of it.
    pub(super) fn record(&self, metrics: &Metrics) -> &Arc<RouteRecord> {
        let record = || RouteRecord { name: Arc::clone(&self.name), metrics: metrics.route(&self.name) };
        self.record.get_or_init(|| Arc::new(record()))
    }

    /// Whether the upstream is to hear the name that the client asked for.
    pub(super) fn passes_sni(&self) -> bool {
        self.acceptance != Acceptance::Outbound
    }
}

/// The addresses that a connection was made to: the listener's, and the one before the kernel redirected it.
fn reached(socket: &TcpStream) -> [Option<SocketAddr>; 2] {
    [socket.local_addr().ok(), original_destination(socket).ok()]
}
