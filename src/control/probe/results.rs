//! The results of probes and trials, and what connections to the same servers have shown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::ServerName;

use super::hello::{HelloReply, ServerState};
use crate::policy::Link;
use crate::route::RouteId;
use crate::telemetry::{LinkFailure, LinkKey, RedirectedTo};
use crate::tls::PeerFault;

/// The last probe of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// The route that leads to the server.
    pub route: RouteId,
    /// The server's address.
    pub upstream: Arc<str>,
    /// Whether the route's present link to the server can be made.
    pub up: bool,
    /// The kind of that link.
    pub link: Option<Link>,
    /// The TLS version, if the link is TLS.
    pub tls_version: Option<&'static str>,
    /// The reason why the link cannot be made, or the unexpected answer.
    pub reason: Option<String>,
    /// The moment of the last probe.
    pub checked: Option<SystemTime>,
    /// The server's `hello`, if it answered.
    pub hello: Option<HelloReply>,
    /// The last trial of the other kind of link, made for a change.
    pub other: Option<OtherLinkResult>,
}

/// The last trial of the kind of link that is not in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherLinkResult {
    /// The kind that was tried.
    pub link: Link,
    /// Why the link cannot be made; `None` if it can.
    pub failure: Option<String>,
    /// When it was tried.
    pub checked: SystemTime,
}

impl ServerStatus {
    /// A server that is not probed yet.
    pub fn new(route: RouteId, upstream: Arc<str>) -> ServerStatus {
        let (up, link, tls_version, reason, checked, hello, other) = (false, None, None, None, None, None, None);
        ServerStatus { route, upstream, up, link, tls_version, reason, checked, hello, other }
    }

    /// The server's state, if it answered.
    pub fn state(&self) -> Option<ServerState> {
        self.hello.as_ref()?.state
    }
}

/// The state of a server as shown by connections to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic {
    /// The number of open connections to the server, without TLS that is passed through.
    pub(crate) open: usize,
    /// If the last dial failed and is recent: the reason, and the time in milliseconds since 1970.
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
    /// The time of the last probe, in milliseconds since 1970; `None` before the first.
    pub(crate) checked: Option<i64>,
    pub(crate) failure: LinkFailure,
    /// The fault of the other kind of link at its last trial.
    pub(crate) other: PeerFault,
}

/// A destination of outbound connections.
#[derive(Debug)]
pub(crate) struct DialledDestination {
    pub(crate) key: LinkKey,
    /// The destination's addresses, if the kernel has redirected its connections.
    pub(crate) redirected: Option<RedirectedTo>,
    pub(crate) traffic: Traffic,
    /// Whether the destination's connections bypass this proxy, since they are older than the rules.
    pub(crate) bypasses: bool,
}

/// A server that would be unreachable in a mode.
#[derive(Debug)]
pub(crate) struct Unreachable {
    pub(crate) upstream: String,
    pub(crate) route: RouteId,
    pub(crate) link: Link,
    pub(crate) reason: String,
    pub(crate) fault: PeerFault,
    pub(crate) remedy: Option<String>,
    /// Whether the change would cause the failure: the present kind of link works.
    pub(crate) by_the_change: bool,
    /// Whether the server's connections bypass tlsramp, since they are older than the rules.
    pub(crate) bypasses: bool,
    /// The number of open connections to the server; `None` if it was not dialled within the guard window, or if its
    /// connections bypass tlsramp.
    pub(crate) open: Option<usize>,
}
