//! Reads sockets of the host from the kernel's tables: the listeners of the server and of tlsramp, and connections that
//! are older than the rules.

use std::io;
use std::net::SocketAddr;

use super::addresses::{Addresses, Local};
use super::script::RedirectedPort;
use super::settings::{Intercept, Sidecar};
use crate::net::{Established, Listening, established, is_own, listening};

/// Returns the addresses that the server listens on; `None` if no process listens on its port.
///
/// # Errors
/// The kernel's socket table cannot be read.
pub(super) fn server(port: u16) -> io::Result<Option<Addresses>> {
    let listeners: Vec<_> = listening()?.into_iter().filter(|one| one.local.port() == port).collect();
    let addresses = listeners.iter().map(|one| (one.local.ip(), one.v6_only));
    Ok((!listeners.is_empty()).then(|| Addresses::of(addresses)))
}

/// A port of tlsramp that intercepted connections would not reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnreachedPort {
    pub(super) port: u16,
    pub(super) traffic: InterceptedTraffic,
    pub(super) problem: ListenerProblem,
}

/// The connections that would not reach the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InterceptedTraffic {
    V4,
    V6,
    Either,
    /// Connections from this host.
    Outbound,
}

/// Why the connections would not reach the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenerProblem {
    Missing,
    /// TPROXY delivers connections to a listener on the first address of the interface or on the wildcard address. No
    /// listener is bound to the wildcard address, so some connections would reach none.
    NotWildcard,
    NotTransparent,
}

/// Returns the ports that intercepted connections would not reach.
pub(super) fn unreached(all: &[Listening], sidecar: &Sidecar, server: &Addresses) -> Vec<UnreachedPort> {
    let mut found = Vec::new();
    if let Some(inbound) = &sidecar.inbound {
        let port = inbound.port;
        let of_others = |one: &&Listening| one.local.port() == port && !one.local.ip().to_canonical().is_loopback();
        let listeners: Vec<&Listening> = all.iter().filter(of_others).collect();
        if inbound.intercept == Intercept::Redirect {
            found.extend(listeners.is_empty().then_some(UnreachedPort {
                port,
                traffic: InterceptedTraffic::Either,
                problem: ListenerProblem::Missing,
            }));
        } else {
            let (v4, v6): (Vec<&Listening>, Vec<&Listening>) =
                listeners.iter().copied().partition(|one| one.local.ip().to_canonical().is_ipv4());
            let dual = v6.iter().filter(|one| one.local.ip().is_unspecified() && !one.v6_only);
            let v4: Vec<&Listening> = v4.iter().chain(dual).copied().collect();
            for (traffic, local, listeners) in
                [(InterceptedTraffic::V4, &server.v4, v4), (InterceptedTraffic::V6, &server.v6, v6)]
            {
                let problem = (*local != Local::None).then(|| problem(&listeners)).flatten();
                found.extend(problem.map(|problem| UnreachedPort { port, traffic, problem }));
            }
        }
    }
    if let Some(outbound) = &sidecar.outbound {
        let port = outbound.port;
        let heard = |one: &Listening| {
            let own = one.local.ip().to_canonical();
            one.local.port() == port && (own.is_loopback() || own.is_unspecified())
        };
        let lacks = !all.iter().any(heard);
        found.extend(lacks.then_some(UnreachedPort {
            port,
            traffic: InterceptedTraffic::Outbound,
            problem: ListenerProblem::Missing,
        }));
    }
    found
}

/// Returns why TPROXY would not deliver connections to these listeners of one address family; `None` if it would.
fn problem(listeners: &[&Listening]) -> Option<ListenerProblem> {
    let mut wildcards = listeners.iter().filter(|one| one.local.ip().is_unspecified()).peekable();
    if listeners.is_empty() {
        Some(ListenerProblem::Missing)
    } else if wildcards.peek().is_none() {
        Some(ListenerProblem::NotWildcard)
    } else {
        wildcards.all(|one| one.transparent == Some(false)).then_some(ListenerProblem::NotTransparent)
    }
}

/// Returns the peers of open connections from other hosts that bypass tlsramp and reach the server directly.
///
/// # Errors
/// The kernel's socket table cannot be read.
pub(super) fn older(sidecar: &Sidecar) -> io::Result<Vec<SocketAddr>> {
    let Some(inbound) = &sidecar.inbound else { return Ok(Vec::new()) };
    let found = established(|one| {
        // Connections that TPROXY delivers to tlsramp have the server's port as their local port too, but their sockets
        // are transparent.
        one.local.port() == inbound.server_port && !one.transparent && !is_own(one.remote.ip().to_canonical())
    })?;
    Ok(found.into_iter().map(|one| SocketAddr::new(one.remote.ip().to_canonical(), one.remote.port())).collect())
}

/// Returns the number of open connections that were redirected to these ports of tlsramp.
///
/// # Errors
/// The kernel's socket table cannot be read.
pub(super) fn open(ports: &[RedirectedPort]) -> io::Result<usize> {
    let was_redirected = |one: &Established| {
        let to = ports.iter().find(|to| to.port == one.local.port());
        // Connections from this host to the inbound port were not redirected.
        to.is_some_and(|to| to.outbound || !is_own(one.remote.ip().to_canonical()))
    };
    Ok(established(was_redirected)?.len())
}

#[cfg(test)]
mod tests {
    use super::{Addresses, InterceptedTraffic, ListenerProblem, Local, unreached};
    use crate::net::Listening;
    use crate::netfilter::settings::tests::sidecar;

    /// Listeners, and the expected problems.
    type PortCase<'a> = (&'a [(&'a str, bool, Option<bool>)], &'a [(u16, InterceptedTraffic, ListenerProblem)]);

    #[test]
    fn ports_where_connections_would_not_arrive() {
        use {
            InterceptedTraffic::Outbound, InterceptedTraffic::V4, InterceptedTraffic::V6, ListenerProblem::Missing,
            ListenerProblem::NotTransparent, ListenerProblem::NotWildcard,
        };
        let (yes, no, unknown) = (Some(true), Some(false), None);
        let out = ("127.0.0.1:27217", false, no);
        let rows: [PortCase<'_>; 9] = [
            (&[("0.0.0.0:27117", false, yes), ("[::]:27117", true, yes), out], &[]),
            (&[("[::]:27117", false, unknown), ("[::1]:27217", true, no)], &[]),
            (&[("[::]:27117", true, yes), out], &[(27117, V4, Missing)]),
            (&[("0.0.0.0:27117", false, yes), out], &[(27117, V6, Missing)]),
            (&[("0.0.0.0:27117", false, no), ("[::]:27117", true, yes), out], &[(27117, V4, NotTransparent)]),
            (&[("10.9.0.1:27117", false, yes), ("[::]:27117", true, yes), out], &[(27117, V4, NotWildcard)]),
            (&[("0.0.0.0:27117", false, yes), ("[::]:27117", true, yes)], &[(27217, Outbound, Missing)]),
            (&[("127.0.0.1:27117", false, yes), ("[::]:27117", true, yes), out], &[(27117, V4, Missing)]),
            (&[], &[(27117, V4, Missing), (27117, V6, Missing), (27217, Outbound, Missing)]),
        ];
        for (listeners, expected) in rows {
            let listening = |(at, v6_only, transparent): &(&str, bool, Option<bool>)| Listening {
                local: at.parse().unwrap(),
                v6_only: *v6_only,
                transparent: *transparent,
            };
            let all: Vec<_> = listeners.iter().map(listening).collect();
            let found: Vec<_> = unreached(&all, &sidecar(), &Addresses::ALL);
            let found: Vec<_> = found.iter().map(|one| (one.port, one.traffic, one.problem)).collect();
            assert_eq!(found, expected, "{listeners:?}");
        }
        let v4 = Addresses { v6: Local::None, ..Addresses::ALL };
        let one = [Listening { local: "0.0.0.0:27117".parse().unwrap(), v6_only: false, transparent: yes }];
        assert_eq!(unreached(&one, &sidecar(), &v4).len(), 1, "a server without IPv6 needs no listener for it");
    }
}
