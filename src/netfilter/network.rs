//! Networks of members: an address, or an address with a prefix length.

use std::net::IpAddr;

use ipnet::IpNet;

/// # Errors
/// The problem and the remedy.
pub(super) fn parse(text: &str) -> Result<IpNet, (String, String)> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
        let example = "write it as 10.0.0.5, 10.0.0.0/24, fd00::5 or fd00::/64";
        ("expected an IP address or a network".to_owned(), example.to_owned())
    })?;
    let address = network.addr();
    if network.trunc() != network {
        let problem = format!("it has bits set beyond its prefix length of {}", network.prefix_len());
        return Err((problem, format!("write {}, or {address}", network.trunc())));
    }
    if matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some()) {
        return Err(("it is an IPv4 address in IPv6".into(), "write the IPv4 address".into()));
    }
    if address.is_loopback() {
        let remedy = "omit it: connections within the host are never redirected";
        return Err(("expected an address of another host".into(), remedy.into()));
    }
    Ok(network)
}

/// Formats a network. The prefix length is left out if the network is a single address.
pub(super) fn shown(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() }
}

#[cfg(test)]
mod tests {
    use super::{parse, shown};

    #[test]
    fn as_written_or_refused() {
        for text in ["10.0.0.5", "10.0.0.0/24", "0.0.0.0/0", "fd00::5", "fd00::/64", "::/0"] {
            assert_eq!(shown(&parse(text).unwrap()), text);
        }
        assert_eq!(shown(&parse("10.0.0.5/32").unwrap()), "10.0.0.5");
        for (text, problem) in [
            ("db1", "expected an IP"),
            ("10.0.0.0/", "expected an IP"),
            ("10.0.0.0/+8", "expected an IP"),
            ("10.0.0.0/33", "expected an IP"),
            ("10.0.0.5/24", "bits set beyond"),
            ("127.0.0.1", "another host"),
            ("::1", "another host"),
            ("::ffff:10.0.0.1", "IPv4 address in IPv6"),
        ] {
            let (found, _) = parse(text).unwrap_err();
            assert!(found.contains(problem), "{text}: {found}");
        }
    }
}
