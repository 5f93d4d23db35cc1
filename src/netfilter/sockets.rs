//! The sockets of the host, as the kernel tells them: where the server listens, where tlsramp does, and connections that
//! are older than the rules.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::script::Redirected;
use super::settings::{Intercept, Sidecar};
use crate::net::{Established, Listening, established, is_own, listening};

/// Where connections from other hosts reach a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) v4: Local,
    pub(super) v6: Local,
}

/// Addresses of this host, of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Local {
    None,
    /// In order, each once; at least one.
    These(Vec<IpAddr>),
    All,
}

impl Addresses {
    /// Every address of the host.
    pub(super) const ALL: Addresses = Addresses { v4: Local::All, v6: Local::All };

    /// The addresses of listeners, each with whether it takes IPv6 alone. Loopback is left out: no other host gets there.
    pub(super) fn of(listeners: impl IntoIterator<Item = (IpAddr, bool)>) -> Addresses {
        let (mut v4, mut v6) = (BTreeSet::new(), BTreeSet::new());
        for (ip, v6_only) in listeners {
            let ip = match ip {
                // On `::` without the option, IPv4 arrives too.
                IpAddr::V6(six) if six.is_unspecified() && !v6_only => {
                    v4.insert(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                    ip
                }
                IpAddr::V4(_) | IpAddr::V6(_) => ip.to_canonical(),
            };
            if !ip.is_loopback() {
                let family = if ip.is_ipv4() { &mut v4 } else { &mut v6 };
                family.insert(ip);
            }
        }
        Addresses { v4: Local::of(v4), v6: Local::of(v6) }
    }

    /// Whether every address of the other is one of these.
    pub(super) fn covers(&self, other: &Addresses) -> bool {
        self.v4.covers(&other.v4) && self.v6.covers(&other.v6)
    }

    pub(super) fn is_empty(&self) -> bool {
        (&self.v4, &self.v6) == (&Local::None, &Local::None)
    }
}

impl Local {
    fn covers(&self, other: &Local) -> bool {
        match (self, other) {
            (Local::All, _) | (_, Local::None) => true,
            (Local::These(own), Local::These(other)) => other.iter().all(|ip| own.contains(ip)),
            (Local::None | Local::These(_), _) => false,
        }
    }

    fn of(addresses: BTreeSet<IpAddr>) -> Local {
        if addresses.is_empty() {
            Local::None
        } else if addresses.iter().any(IpAddr::is_unspecified) {
            Local::All
        } else {
            Local::These(addresses.into_iter().collect())
        }
    }
}

/// Where the server listens; `None` if nothing listens on its port.
///
/// # Errors
/// The kernel does not tell.
pub(super) fn server(port: u16) -> io::Result<Option<Addresses>> {
    let listeners: Vec<_> = listening()?.into_iter().filter(|one| one.local.port() == port).collect();
    let addresses = listeners.iter().map(|one| (one.local.ip(), one.v6_only));
    Ok((!listeners.is_empty()).then(|| Addresses::of(addresses)))
}

/// A port of tlsramp's that the rules lead to, where connections would not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreached {
    pub(super) port: u16,
    pub(super) by: By,
    pub(super) lack: Lack,
}

/// The kind of connections that would not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    V4,
    V6,
    Either,
    /// Those of this host.
    Outbound,
}

/// The reason why they would not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// Nothing listens there.
    Listener,
    /// No listener is on every address, and TPROXY leads to the first address of the interface.
    Wildcard,
    /// The listener is not transparent.
    Transparency,
}

/// Where connections would not arrive.
pub(super) fn unreached(all: &[Listening], sidecar: &Sidecar, server: &Addresses) -> Vec<Unreached> {
    let mut found = Vec::new();
    if let Some(inbound) = &sidecar.inbound {
        let port = inbound.port;
        let of_others = |one: &&Listening| one.local.port() == port && !one.local.ip().to_canonical().is_loopback();
        let listeners: Vec<&Listening> = all.iter().filter(of_others).collect();
        if inbound.intercept == Intercept::Redirect {
            found.extend(listeners.is_empty().then_some(Unreached { port, by: By::Either, lack: Lack::Listener }));
        } else {
            let (v4, v6): (Vec<&Listening>, Vec<&Listening>) =
                listeners.iter().copied().partition(|one| one.local.ip().to_canonical().is_ipv4());
            let dual = v6.iter().filter(|one| one.local.ip().is_unspecified() && !one.v6_only);
            let v4: Vec<&Listening> = v4.iter().chain(dual).copied().collect();
            for (by, local, listeners) in [(By::V4, &server.v4, v4), (By::V6, &server.v6, v6)] {
                let lack = (*local != Local::None).then(|| lack(&listeners)).flatten();
                found.extend(lack.map(|lack| Unreached { port, by, lack }));
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
        found.extend(lacks.then_some(Unreached { port, by: By::Outbound, lack: Lack::Listener }));
    }
    found
}

/// What listeners lack to take connections of their family by TPROXY.
fn lack(listeners: &[&Listening]) -> Option<Lack> {
    let mut wildcards = listeners.iter().filter(|one| one.local.ip().is_unspecified()).peekable();
    if listeners.is_empty() {
        Some(Lack::Listener)
    } else if wildcards.peek().is_none() {
        Some(Lack::Wildcard)
    } else {
        wildcards.all(|one| one.transparent == Some(false)).then_some(Lack::Transparency)
    }
}

/// The peers of open connections from other hosts that arrive at the server itself.
///
/// # Errors
/// The kernel does not tell.
pub(super) fn older(sidecar: &Sidecar) -> io::Result<Vec<SocketAddr>> {
    let Some(inbound) = &sidecar.inbound else { return Ok(Vec::new()) };
    let found = established(|one| {
        // A connection that TPROXY leads to tlsramp has the server's port at this end too.
        one.local.port() == inbound.server_port && !one.transparent && !is_own(one.remote.ip().to_canonical())
    })?;
    Ok(found.into_iter().map(|one| SocketAddr::new(one.remote.ip().to_canonical(), one.remote.port())).collect())
}

/// How many open connections were redirected to these ports of tlsramp's.
///
/// # Errors
/// The kernel does not tell.
pub(super) fn open(ports: &[Redirected]) -> io::Result<usize> {
    let was_redirected = |one: &Established| {
        let to = ports.iter().find(|to| to.port == one.local.port());
        // What this host's processes make to the inbound port is no client's.
        to.is_some_and(|to| to.outbound || !is_own(one.remote.ip().to_canonical()))
    };
    Ok(established(was_redirected)?.len())
}

#[cfg(test)]
mod tests {
    use super::{Addresses, By, Lack, Local, unreached};
    use crate::net::Listening;
    use crate::netfilter::settings::tests::sidecar;

    #[test]
    fn addresses_of_a_server() {
        /// Listeners, and the addresses of each family.
        type Row<'a> = (&'a [(&'a str, bool)], &'a [&'a str], &'a [&'a str]);
        let these = |all: &[&str]| match all {
            [] => Local::None,
            ["*"] => Local::All,
            all => Local::These(all.iter().map(|ip| ip.parse().unwrap()).collect()),
        };
        let rows: [Row<'_>; 9] = [
            (&[], &[], &[]),
            (&[("127.0.0.1", false), ("::1", true), ("127.9.9.9", false)], &[], &[]),
            (&[("0.0.0.0", false)], &["*"], &[]),
            (&[("::", true)], &[], &["*"]),
            (&[("::", false)], &["*"], &["*"]),
            (&[("0.0.0.0", false), ("::", true), ("10.0.0.1", false)], &["*"], &["*"]),
            (&[("10.0.0.2", false), ("10.0.0.1", false), ("10.0.0.2", false)], &["10.0.0.1", "10.0.0.2"], &[]),
            (&[("127.0.0.1", false), ("fd00::1", true)], &[], &["fd00::1"]),
            (&[("::ffff:10.0.0.1", false)], &["10.0.0.1"], &[]),
        ];
        for (listeners, v4, v6) in rows {
            let found = Addresses::of(listeners.iter().map(|(ip, v6_only)| (ip.parse().unwrap(), *v6_only)));
            assert_eq!(found, Addresses { v4: these(v4), v6: these(v6) }, "{listeners:?}");
        }
    }

    /// Listeners, and what is lacking.
    type Row<'a> = (&'a [(&'a str, bool, Option<bool>)], &'a [(u16, By, Lack)]);

    #[test]
    fn ports_where_connections_would_not_arrive() {
        use {By::Outbound, By::V4, By::V6, Lack::Listener, Lack::Transparency, Lack::Wildcard};
        let (yes, no, unknown) = (Some(true), Some(false), None);
        let out = ("127.0.0.1:27217", false, no);
        let rows: [Row<'_>; 9] = [
            (&[("0.0.0.0:27117", false, yes), ("[::]:27117", true, yes), out], &[]),
            (&[("[::]:27117", false, unknown), ("[::1]:27217", true, no)], &[]),
            (&[("[::]:27117", true, yes), out], &[(27117, V4, Listener)]),
            (&[("0.0.0.0:27117", false, yes), out], &[(27117, V6, Listener)]),
            (&[("0.0.0.0:27117", false, no), ("[::]:27117", true, yes), out], &[(27117, V4, Transparency)]),
            (&[("10.9.0.1:27117", false, yes), ("[::]:27117", true, yes), out], &[(27117, V4, Wildcard)]),
            (&[("0.0.0.0:27117", false, yes), ("[::]:27117", true, yes)], &[(27217, Outbound, Listener)]),
            (&[("127.0.0.1:27117", false, yes), ("[::]:27117", true, yes), out], &[(27117, V4, Listener)]),
            (&[], &[(27117, V4, Listener), (27117, V6, Listener), (27217, Outbound, Listener)]),
        ];
        for (listeners, expected) in rows {
            let listening = |(at, v6_only, transparent): &(&str, bool, Option<bool>)| Listening {
                local: at.parse().unwrap(),
                v6_only: *v6_only,
                transparent: *transparent,
            };
            let all: Vec<_> = listeners.iter().map(listening).collect();
            let found: Vec<_> = unreached(&all, &sidecar(), &Addresses::ALL);
            let found: Vec<_> = found.iter().map(|one| (one.port, one.by, one.lack)).collect();
            assert_eq!(found, expected, "{listeners:?}");
        }
        let v4 = Addresses { v6: Local::None, ..Addresses::ALL };
        let one = [Listening { local: "0.0.0.0:27117".parse().unwrap(), v6_only: false, transparent: yes }];
        assert_eq!(unreached(&one, &sidecar(), &v4).len(), 1, "a server without IPv6 needs no listener for it");
    }
}
