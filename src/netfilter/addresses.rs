//! Computes the addresses at which other hosts reach a server. PURE.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

/// The addresses at which other hosts reach a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) v4: Local,
    pub(super) v6: Local,
}

/// The server's addresses in one address family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Local {
    None,
    /// Sorted, without duplicates, not empty.
    These(Vec<IpAddr>),
    All,
}

impl Addresses {
    /// Every address of the host, of both families.
    pub(super) const ALL: Addresses = Addresses { v4: Local::All, v6: Local::All };

    /// Returns the addresses of listeners, each given with its `IPV6_V6ONLY` option. Loopback addresses are left out,
    /// because other hosts cannot reach them.
    pub(super) fn of(listeners: impl IntoIterator<Item = (IpAddr, bool)>) -> Addresses {
        let (mut v4, mut v6) = (BTreeSet::new(), BTreeSet::new());
        for (ip, v6_only) in listeners {
            let ip = match ip {
                // Without `IPV6_V6ONLY`, a listener on `::` accepts IPv4 too.
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

    /// Returns whether `self` contains every address of `other`.
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

#[cfg(test)]
mod tests {
    use super::{Addresses, Local};

    #[test]
    fn addresses_of_a_server() {
        /// Listeners, and the expected IPv4 and IPv6 addresses.
        type AddressCase<'a> = (&'a [(&'a str, bool)], &'a [&'a str], &'a [&'a str]);
        let these = |all: &[&str]| match all {
            [] => Local::None,
            ["*"] => Local::All,
            all => Local::These(all.iter().map(|ip| ip.parse().unwrap()).collect()),
        };
        let rows: [AddressCase<'_>; 9] = [
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
}
