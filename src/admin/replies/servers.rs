//! The servers, links, members and bypassing connections of `GET /status`.

use serde::{Deserialize, Serialize};

use crate::control::{Bypass, LinkHealth, OtherLinkResult, ServerState, ServerStatus};
use crate::policy::Link;
use crate::state::Member;
use crate::text::{rfc3339, rfc3339_millis};

/// The last probe of a server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UpstreamStatus {
    /// The route that leads to the server.
    pub route: String,
    /// The server's address.
    pub upstream: String,
    /// Whether the route's present link to the server can be made.
    pub up: bool,
    /// The kind of that link: `plaintext`, `tls`, `untouched`.
    pub link: String,
    /// The TLS version, if the link is TLS.
    pub tls_version: Option<String>,
    /// The reason why the link cannot be made, or what is unexpected about the server's answer.
    pub reason: Option<String>,
    /// The time of the last probe: RFC 3339. Empty before the first.
    pub checked: String,
    /// The server's replica set.
    pub set_name: Option<String>,
    /// The server's own name in the set.
    pub me: Option<String>,
    /// The members in the server's `hello`, passives and arbiters included.
    pub hosts: Vec<String>,
    /// `PRIMARY`, `SECONDARY`, `ARBITER`, `OTHER`, `STANDALONE`, `MONGOS`.
    pub state: Option<String>,
    /// The last trial of the other kind of link, made to check a change of mode.
    pub other: Option<OtherLink>,
}

/// The last trial of the kind of link that is not in use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OtherLink {
    /// `plaintext` or `tls`.
    pub link: String,
    /// Whether the link can be made.
    pub up: bool,
    /// The reason why not.
    pub reason: Option<String>,
    /// The time of the trial: RFC 3339.
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
    /// The names that are accepted for the server; its certificate must have one of them. If no name is known, only
    /// the address is accepted.
    pub names: Vec<String>,
    /// The kind of the last link: `plaintext`, `tls`, `untouched`.
    pub link: String,
    /// Whether the last attempt to make the link succeeded, by a connection or by the probe.
    pub up: bool,
    /// The reason for the failure.
    pub reason: Option<String>,
    /// The option that gives the server a name in its certificate. It is never applied automatically: the operator has
    /// to check that this is the right server.
    pub suggestion: Option<String>,
    /// The number of open connections to the destination.
    pub open: usize,
    /// The time when the link was last made: RFC 3339.
    pub last_ok: Option<String>,
    /// The time when the link last failed: RFC 3339.
    pub last_failed: Option<String>,
}

/// A known member of the set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MemberStatus {
    /// The member's name in the set's configuration.
    pub name: String,
    /// The member's addresses, as resolved by this proxy.
    pub addresses: Vec<String>,
    /// The sources of the name: `option` (`--member`), `outbound`, `hello` (of the fronted server), `rollout` (`POST
    /// /members`).
    pub sources: Vec<String>,
}

/// A connection that bypasses this proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BypassStatus {
    /// `inbound`: to the fronted server; `outbound`: from this host to another member.
    pub direction: String,
    /// The address of the end on this host.
    pub local: String,
    /// The address of the other end.
    pub remote: String,
    /// Whether the other end has the address of a member.
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
