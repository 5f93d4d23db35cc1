//! A route: what a listener accepts and where it leads.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::net::TcpStream;

use super::redirected::{Astray, Dial, Redirected};
use crate::config::{Inbound, Outbound, Settings};
use crate::members;
use crate::net::Upstream;
use crate::observe::{Metrics, RedirectedTo, RouteRecord};
use crate::policy::{Acceptance, LinkRule};
use crate::upstream::{BadName, Way};

/// What every connection of a listener has in common.
#[derive(Debug)]
pub struct Route {
    /// Its name in records: `inbound`, `outbound HOST:PORT`, or `outbound transparent`.
    pub name: Arc<str>,
    pub(super) acceptance: Acceptance,
    pub(super) link: LinkRule,
    lead: Lead,
    /// Its counts, found once, beside its name.
    record: OnceLock<Arc<RouteRecord>>,
}

/// Where a route leads.
#[derive(Debug)]
enum Lead {
    /// To one server; its name as written, for records.
    To(Arc<Way>, Arc<str>),
    /// To where each connection was going before the kernel redirected it.
    Original(Redirected),
}

/// Where one connection is led.
#[derive(Debug)]
pub(super) struct Toward {
    pub(super) way: Arc<Way>,
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
        let way = match &inbound.upstream {
            Upstream::Unix(path) => Way::Unix(path.clone()),
            Upstream::Tcp(target) => Way::tcp(target, &target.host, inbound.source)?,
        };
        let lead = Lead::To(Arc::new(way), inbound.upstream.to_string().into());
        Ok(Route::new("inbound", inbound.acceptance, inbound.link, lead))
    }

    /// An outbound route.
    ///
    /// # Errors
    /// [`BadName`], for a name that no certificate has.
    pub fn outbound(outbound: &Outbound) -> Result<Route, BadName> {
        let way = Way::tcp(&outbound.target, &outbound.name, None)?;
        let lead = Lead::To(Arc::new(way), outbound.target.to_string().into());
        Ok(Route::new(&format!("outbound {}", outbound.target), Acceptance::Outbound, LinkRule::Policy, lead))
    }

    /// The route of connections that the kernel has redirected.
    #[must_use]
    pub fn transparent(settings: &Settings, members: members::Reader) -> Route {
        let lead = Lead::Original(Redirected::new(settings, members));
        Route::new("outbound transparent", Acceptance::Outbound, LinkRule::Policy, lead)
    }

    fn new(name: &str, acceptance: Acceptance, link: LinkRule, lead: Lead) -> Route {
        Route { name: name.into(), acceptance, link, lead, record: OnceLock::new() }
    }

    /// Where a connection is led.
    pub(super) fn toward(&self, socket: &TcpStream) -> Result<Toward, Astray> {
        match &self.lead {
            Lead::To(way, written) => {
                Ok(Toward { way: Arc::clone(way), written: Arc::clone(written), redirected: None })
            }
            Lead::Original(redirected) => {
                let (way, to) = redirected.way(socket)?;
                Ok(Toward { way: Arc::new(way), written: to.original.to_string().into(), redirected: Some(to) })
            }
        }
    }

    /// To be told of every dial of the route, before a byte goes out on it; what it gives back is kept while that is
    /// open.
    pub(super) fn dialled(&self, local: Option<SocketAddr>) -> Option<Dial> {
        match &self.lead {
            Lead::To(..) => None,
            Lead::Original(redirected) => Some(redirected.note(local?)),
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
