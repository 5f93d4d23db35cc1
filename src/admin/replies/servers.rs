//! The servers, links, members and bypassing connections of `GET /status`.

use serde::{Deserialize, Serialize};

use crate::control::{Bypass, LinkHealth, OtherLinkResult, ServerState, ServerStatus};
use crate::policy::Link;
use crate::state::Member;
use crate::text::{rfc3339, rfc3339_millis};

/// A server behind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UpstreamStatus {
    /// The route that leads there.
    pub route: String,
    /// Its address.
    pub upstream: String,
    /// Whether the link that the route would make now can be made.
    pub up: bool,
    /// The kind of that link: `plaintext`, `tls`, `untouched`.
    pub link: String,
    /// The TLS version, where it is TLS.
    pub tls_version: Option<String>,
    /// The reason why the link cannot be made, or a warning about it.
    pub reason: Option<String>,
    /// When that was found out: RFC 3339. Empty: not yet.
    pub checked: String,
    /// Its replica set.
    pub set_name: Option<String>,
    /// Its own name in the set.
    pub me: Option<String>,
    /// The members that it names, passives and arbiters included.
    pub hosts: Vec<String>,
    /// `PRIMARY`, `SECONDARY`, `ARBITER`, `OTHER`, `STANDALONE`, `MONGOS`.
    pub state: Option<String>,
    /// The other kind of link, as last tried for a change.
    pub other: Option<OtherLink>,
}

/// The kind of link that is not in use, as last tried.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OtherLink {
    /// `plaintext` or `tls`.
    pub link: String,
    /// Whether it can be made.
    pub up: bool,
    /// Why not.
    pub reason: Option<String>,
    /// When it was tried: RFC 3339.
    pub checked: String,
}

/// A link to another server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LinkStatus {
    /// The outbound route.
    pub route: String,
    /// The destination: host and port as configured, or the address of redirected connections.
    pub destination: String,
    /// The names of which the server's certificate must have one; the address, where none is known.
    pub names: Vec<String>,
    /// The kind of the last link: `plaintext`, `tls`, `untouched`.
    pub link: String,
    /// Whether it could be made when that was last tried, by a connection or by the probe.
    pub up: bool,
    /// Why not.
    pub reason: Option<String>,
    /// The option that would name the server by its certificate. Never used by itself: look first whether it is the server
    /// that is meant.
    pub suggestion: Option<String>,
    /// Connections that are open on it.
    pub open: usize,
    /// When it was last made: RFC 3339.
    pub last_ok: Option<String>,
    /// When it last failed: RFC 3339.
    pub last_failed: Option<String>,
}

/// A member of the set, as the probe and --member tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its name in the set's configuration.
    pub name: String,
    /// Its addresses, as seen from this proxy.
    pub addresses: Vec<String>,
    /// What names it: `option` (`--member`), `outbound`, `hello` (of the server behind), `rollout` (`POST /members`).
    pub sources: Vec<String>,
}

/// A connection that goes around this proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BypassStatus {
    /// `inbound`: to the server behind; `outbound`: from this host to another member.
    pub direction: String,
    /// Its address on this host.
    pub local: String,
    /// Its other end.
    pub remote: String,
    /// Whether that is an address of a member.
    pub member: bool,
}

impl From<ServerStatus> for UpstreamStatus {
    fn from(server: ServerStatus) -> UpstreamStatus {
        let hello = server.hello.unwrap_or_default();
        UpstreamStatus {
            route: server.route.to_string(),
            upstream: server.upstream.to_string(),
            up: server.up,
            link: server.link.map(Link::name).unwrap_or_default().into(),
            tls_version: server.tls_version.map(Into::into),
            reason: server.reason,
            checked: server.checked.map(rfc3339).unwrap_or_default(),
            set_name: hello.set_name,
            me: hello.me,
            hosts: hello.hosts,
            state: hello.state.map(ServerState::name).map(Into::into),
            other: server.other.map(OtherLink::from),
        }
    }
}

impl From<OtherLinkResult> for OtherLink {
    fn from(tried: OtherLinkResult) -> OtherLink {
        let OtherLinkResult { link, failure, checked } = tried;
        OtherLink { link: link.name().into(), up: failure.is_none(), reason: failure, checked: rfc3339(checked) }
    }
}

impl From<&LinkHealth> for LinkStatus {
    fn from(link: &LinkHealth) -> LinkStatus {
        LinkStatus {
            route: link.key.route.to_string(),
            destination: link.key.destination.to_string(),
            names: link.names.iter().map(|name| name.to_str().into_owned()).collect(),
            link: link.link.map(Link::name).unwrap_or_default().into(),
            up: link.up(),
            reason: link.failure.as_ref().map(|failure| failure.text.clone()),
            suggestion: link.suggestion.clone(),
            open: link.open,
            last_ok: link.last_ok.map(rfc3339_millis),
            last_failed: link.last_failed.map(rfc3339_millis),
        }
    }
}

impl From<&Member> for MemberStatus {
    fn from(member: &Member) -> MemberStatus {
        MemberStatus {
            name: member.name.to_string(),
            addresses: member.addresses.iter().map(ToString::to_string).collect(),
            sources: member.sources.iter().map(|source| source.name().to_owned()).collect(),
        }
    }
}

impl From<&Bypass> for BypassStatus {
    fn from(bypass: &Bypass) -> BypassStatus {
        let Bypass { direction, local, remote, member } = *bypass;
        let (local, remote) = (local.to_string(), remote.to_string());
        BypassStatus { direction: direction.name().into(), local, remote, member }
    }
}
