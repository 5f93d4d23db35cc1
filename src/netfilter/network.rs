//! Networks of members, as an operator writes them: an address, or one with the length of its prefix.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// An address or a network, without bits beyond its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// # Errors
    /// What is wrong, and what to write instead.
    pub(super) fn parse(text: &str) -> Result<Network, (String, String)> {
        let example = "write it as 10.0.0.5, 10.0.0.0/24, fd00::5 or fd00::/64".to_owned();
        let wrong = || ("expected an IP address or a network".to_owned(), example.clone());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
            None => longest,
        };
        if prefix > longest {
            return Err((format!("expected a prefix of at most {longest} bits"), example));
        }
        let network = Network { address: masked(address, prefix), prefix };
        if network.address != address {
            return Err((
                format!("it has bits beyond its prefix of {prefix}"),
                format!("write {network}, or {address}"),
            ));
        }
        network.check()
    }

    fn check(self) -> Result<Network, (String, String)> {
        let mapped = matches!(self.address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
        if mapped {
            return Err(("it is an IPv4 address in IPv6".into(), "write the IPv4 address".into()));
        }
        if self.address.is_loopback() {
            let remedy = "leave it out: connections within the host are never redirected";
            return Err(("expected an address of another host".into(), remedy.into()));
        }
        Ok(self)
    }

    pub(super) fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether all of the other is in this one.
    pub(super) fn contains(self, other: Network) -> bool {
        let same_family = self.is_ipv4() == other.is_ipv4();
        same_family && self.prefix <= other.prefix && masked(other.address, self.prefix) == self.address
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = if self.is_ipv4() { 32 } else { 128 };
        if self.prefix == longest {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

/// Without those that are part of another: nft refuses sets that overlap.
pub(super) fn without_overlap(mut networks: Vec<Network>) -> Vec<Network> {
    networks.sort();
    networks.dedup();
    let all = networks.clone();
    networks.retain(|network| !all.iter().any(|other| other != network && other.contains(*network)));
    networks
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let keep = |bits: u32| u128::MAX.checked_shl(bits - u32::from(prefix)).unwrap_or(0);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::try_from(keep(32) & u128::from(u32::MAX)).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & keep(128))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Network, without_overlap};

    #[test]
    fn as_written_or_refused() {
        for text in ["10.0.0.5", "10.0.0.0/24", "0.0.0.0/0", "fd00::5", "fd00::/64", "::/0"] {
            assert_eq!(Network::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Network::parse("10.0.0.5/32").unwrap().to_string(), "10.0.0.5");
        for (text, problem) in [
            ("db1", "expected an IP"),
            ("10.0.0.0/", "expected an IP"),
            ("10.0.0.0/+8", "expected an IP"),
            ("10.0.0.0/33", "at most 32"),
            ("10.0.0.5/24", "bits beyond"),
            ("127.0.0.1", "another host"),
            ("::1", "another host"),
            ("::ffff:10.0.0.1", "IPv4 address in IPv6"),
        ] {
            let (found, _) = Network::parse(text).unwrap_err();
            assert!(found.contains(problem), "{text}: {found}");
        }
    }

    #[test]
    fn overlapping_ones_become_one() {
        let networks = ["10.0.0.1", "10.0.0.0/8", "fd00::/64", "10.0.0.1", "11.0.0.1", "fd00::1"];
        let networks = networks.map(|text| Network::parse(text).unwrap()).to_vec();
        let left: Vec<_> = without_overlap(networks).iter().map(ToString::to_string).collect();
        assert_eq!(left, ["10.0.0.0/8", "11.0.0.1", "fd00::/64"]);
    }
}
