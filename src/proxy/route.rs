//! A route: what a listener accepts and where it leads.

use std::sync::{Arc, OnceLock};

use crate::config::{Inbound, Outbound};
use crate::net::Upstream;
use crate::observe::{Metrics, RouteMetrics};
use crate::policy::{Acceptance, LinkRule};
use crate::upstream::{BadName, Way};

/// What every connection of a listener has in common.
#[derive(Debug)]
pub struct Route {
    /// Its name in records: `inbound`, or `outbound HOST:PORT`.
    pub name: Arc<str>,
    pub(super) acceptance: Acceptance,
    pub(super) link: LinkRule,
    pub(super) way: Way,
    /// The upstream as written, for records.
    pub(super) written: Arc<str>,
    /// Its counts, found once.
    metrics: OnceLock<Arc<RouteMetrics>>,
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
        Ok(Route {
            name: Arc::from("inbound"),
            acceptance: inbound.acceptance,
            link: inbound.link,
            way,
            written: inbound.upstream.to_string().into(),
            metrics: OnceLock::new(),
        })
    }

    /// An outbound route.
    ///
    /// # Errors
    /// [`BadName`], for a name that no certificate has.
    pub fn outbound(outbound: &Outbound) -> Result<Route, BadName> {
        Ok(Route {
            name: format!("outbound {}", outbound.target).into(),
            acceptance: Acceptance::Outbound,
            link: LinkRule::Policy,
            way: Way::tcp(&outbound.target, &outbound.name, None)?,
            written: outbound.target.to_string().into(),
            metrics: OnceLock::new(),
        })
    }

    /// Its counts.
    pub(super) fn metrics(&self, metrics: &Metrics) -> &Arc<RouteMetrics> {
        self.metrics.get_or_init(|| metrics.route(&self.name))
    }

    /// Whether the upstream is to hear the name that the client asked for.
    pub(super) fn passes_sni(&self) -> bool {
        self.acceptance != Acceptance::Outbound
    }
}
