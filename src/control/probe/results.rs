//! The results of probes and trials, and what connections have shown of the same servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::ServerName;

use super::hello::{HelloReply, ServerState};
use crate::policy::Link;
use crate::route::RouteId;
use crate::telemetry::{LinkFailure, LinkKey, RedirectedTo};
use crate::tls::PeerFault;

/// A server, as last probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// The route that leads there.
    pub route: RouteId,
    /// Its address.
    pub upstream: Arc<str>,
    /// Whether the link that the route would make now can be made.
    pub up: bool,
    /// The kind of that link.
    pub link: Option<Link>,
    /// The TLS version, if it is TLS.
    pub tls_version: Option<&'static str>,
    /// Why it cannot be made, or what is unexpected about the answer.
    pub reason: Option<String>,
    /// The moment of the last probe.
    pub checked: Option<SystemTime>,
    /// Its `hello`, if it has answered.
    pub hello: Option<HelloReply>,
    /// The other kind of link, as last tried for a change.
    pub other: Option<OtherLinkResult>,
}

/// The kind of link that is not in use, as last tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherLinkResult {
    /// Its kind.
    pub link: Link,
    /// Why it cannot be made, if so.
    pub failure: Option<String>,
    /// When it was tried.
    pub checked: SystemTime,
}

impl ServerStatus {
    /// A server that is not probed yet.
    #[must_use]
    pub fn new(route: RouteId, upstream: Arc<str>) -> ServerStatus {
        let (up, link, tls_version, reason, checked, hello, other) = (false, None, None, None, None, None, None);
        ServerStatus { route, upstream, up, link, tls_version, reason, checked, hello, other }
    }

    /// Its state, if it has answered.
    #[must_use]
    pub fn state(&self) -> Option<ServerState> {
        self.hello.as_ref()?.state
    }
}

/// The facts about a server that connections have shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic {
    /// Connections to it that are open now.
    pub(crate) open: usize,
    /// Why the last dial failed and when, in milliseconds since 1970, if it is still being dialled.
    pub(crate) failing: Option<(LinkFailure, i64)>,
}

/// The link to a server of an outbound route, as last probed.
#[derive(Debug)]
pub(crate) struct LinkSeen {
    pub(crate) route: RouteId,
    pub(crate) destination: Arc<str>,
    pub(crate) redirected: Option<SocketAddr>,
    pub(crate) names: Vec<ServerName<'static>>,
    pub(crate) link: Option<Link>,
    pub(crate) up: bool,
    /// The moment of the last probe in milliseconds since 1970; `None` before it.
    pub(crate) checked: Option<i64>,
    pub(crate) failure: LinkFailure,
    /// The fault of the other kind of link, as last tried.
    pub(crate) other: PeerFault,
}

/// A destination of outbound connections.
#[derive(Debug)]
pub(crate) struct DialledDestination {
    pub(crate) key: LinkKey,
    /// Its addresses, if the kernel has redirected them.
    pub(crate) redirected: Option<RedirectedTo>,
    pub(crate) traffic: Traffic,
    /// Whether its connections bypass this proxy, since they are older than the rules.
    pub(crate) bypasses: bool,
}

/// A server that a mode would not reach.
#[derive(Debug)]
pub(crate) struct Unreachable {
    pub(crate) upstream: String,
    pub(crate) route: RouteId,
    pub(crate) link: Link,
    pub(crate) reason: String,
    pub(crate) fault: PeerFault,
    /// The remedy, if it is known.
    pub(crate) remedy: Option<String>,
    /// Whether the change would cut it off: the kind of link in use now works.
    pub(crate) by_the_change: bool,
    /// Whether its connections bypass tlsramp, until they are made anew.
    pub(crate) bypasses: bool,
    /// Open connections to it; `None` if no connection has dialled it.
    pub(crate) open: Option<usize>,
}
