//! A route: what a listener accepts and where it leads.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::ServerName;

use crate::config::{Inbound, Outbound};
use crate::net::{HostPort, Resolver, Upstream};
use crate::policy::{Acceptance, LinkRule};

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
}

/// How the upstream is reached.
#[derive(Debug)]
pub(super) enum Way {
    Tcp {
        resolver: Resolver,
        /// Where the dial comes from.
        source: Option<IpAddr>,
        /// Whom its certificate must name.
        names: Vec<ServerName<'static>>,
    },
    Unix(PathBuf),
}

/// A host that is neither a DNS name nor an address as TLS knows them, so that nothing could verify it.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no name that a certificate can bear")]
pub struct BadName(String);

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
        })
    }

    /// Whether the upstream is to hear the name that the client asked for.
    pub(super) fn passes_sni(&self) -> bool {
        self.acceptance != Acceptance::Outbound
    }
}

impl Way {
    fn tcp(target: &HostPort, name: &str, source: Option<IpAddr>) -> Result<Way, BadName> {
        let name = ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(|_| BadName(name.to_owned()))?;
        Ok(Way::Tcp { resolver: Resolver::new(target.clone()), source, names: vec![name] })
    }
}
