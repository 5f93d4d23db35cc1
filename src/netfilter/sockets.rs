//! The sockets of the host, as the kernel tells them: where the server listens, where tlsramp does, and connections that
//! are older than the rules.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::settings::{Intercept, Sidecar};
use crate::net::{Listening, established, is_own, listening};

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

    pub(super) fn is_empty(&self) -> bool {
        (&self.v4, &self.v6) == (&Local::None, &Local::None)
    }
}

impl Local {
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

/// What a port of tlsramp's lacks, to which the rules lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// Nothing listens there that the rules can lead to.
    Listener,
    /// What listens there is not transparent, so that TPROXY does not lead to it.
    Transparency,
}

/// The ports that the rules lead to where connections would not arrive.
pub(super) fn deaf(all: &[Listening], sidecar: &Sidecar) -> Vec<(u16, Lack)> {
    let at = |port: u16, fits: &dyn Fn(IpAddr) -> bool| {
        let fitting = all.iter().filter(|one| one.local.port() == port && fits(one.local.ip().to_canonical()));
        fitting.collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    if let Some(inbound) = sidecar.inbound.as_ref() {
        let listeners = at(inbound.port, &|own| !own.is_loopback());
        let tproxy = matches!(inbound.intercept, Intercept::Tproxy(_));
        if listeners.is_empty() {
            found.push((inbound.port, Lack::Listener));
        } else if tproxy && listeners.iter().all(|one| one.transparent == Some(false)) {
            found.push((inbound.port, Lack::Transparency));
        }
    }
    if let Some(outbound) = &sidecar.outbound
        && at(outbound.port, &|own| own.is_loopback() || own.is_unspecified()).is_empty()
    {
        found.push((outbound.port, Lack::Listener));
    }
    found
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
pub(super) fn redirected(ports: &[u16]) -> io::Result<usize> {
    Ok(established(|one| ports.contains(&one.local.port()))?.len())
}

#[cfg(test)]
mod tests {
    use super::{Addresses, Lack, Local, deaf};
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
    type Row<'a> = (&'a [(&'a str, Option<bool>)], &'a [(u16, Lack)]);

    #[test]
    fn ports_where_connections_would_not_arrive() {
        let listener = |at: &str, transparent| Listening { local: at.parse().unwrap(), v6_only: false, transparent };
        let (yes, no, unknown) = (Some(true), Some(false), None);
        let rows: [Row<'_>; 7] = [
            (&[("0.0.0.0:27117", yes), ("127.0.0.1:27217", no)], &[]),
            (&[("[::]:27117", unknown), ("[::1]:27217", no)], &[]),
            (&[("0.0.0.0:27117", no), ("127.0.0.1:27217", no)], &[(27117, Lack::Transparency)]),
            (&[("0.0.0.0:27117", no), ("[::]:27117", yes), ("0.0.0.0:27217", no)], &[]),
            (&[("127.0.0.1:27117", yes), ("127.0.0.1:27217", no)], &[(27117, Lack::Listener)]),
            (&[("10.9.0.1:27117", yes), ("10.9.0.1:27217", no)], &[(27217, Lack::Listener)]),
            (&[], &[(27117, Lack::Listener), (27217, Lack::Listener)]),
        ];
        for (listeners, expected) in rows {
            let all: Vec<_> = listeners.iter().map(|(at, transparent)| listener(at, *transparent)).collect();
            assert_eq!(deaf(&all, &sidecar()), expected, "{listeners:?}");
        }
    }
}
