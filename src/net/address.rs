//! Addresses as an operator writes them: `HOST:PORT` and `unix:PATH`. This module parses them; the resolver resolves
//! names.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use rustls::pki_types::ServerName;

/// A host (name or IP address) and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// A port from 1 to 65535.
    pub port: u16,
}

/// The address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UpstreamAddress {
    /// A TCP address.
    Tcp(HostPort),
    /// The path of a Unix domain socket.
    Unix(PathBuf),
}

/// Why an address cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no colon, or an IPv6 address is not in brackets.
    #[error("it has no port; write HOST:PORT, with an IPv6 host in brackets")]
    NoPort,
    /// There is only a port.
    #[error("it has no host; write HOST:PORT, such as 127.0.0.1:28017")]
    NoHost,
    /// There is a scheme, such as `http://`.
    #[error("it is a URI; write HOST:PORT, without scheme and path")]
    Scheme,
    /// The port is not a number, or out of range.
    #[error("its port is not a number from 1 to 65535")]
    BadPort,
    /// The host is empty, or contains characters that are not allowed in a host name.
    #[error("its host is not a DNS name or an IP address")]
    BadHost,
    /// The path after `unix:` is missing, relative, or too long for a socket.
    #[error("a unix socket needs an absolute path of at most 107 bytes")]
    BadPath,
}

impl HostPort {
    /// Returns the host as an IP address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Returns the socket address if the host is an IP address, so that no name has to be resolved.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.ip().map(|ip| SocketAddr::new(ip, self.port))
    }
}

impl UpstreamAddress {
    /// Whether the upstream is on this host, as far as this can be told without DNS.
    pub fn is_local(&self) -> bool {
        match self {
            UpstreamAddress::Unix(_) => true,
            UpstreamAddress::Tcp(target) => {
                target.host == "localhost" || target.ip().is_some_and(|ip| ip.is_loopback())
            }
        }
    }
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<HostPort, AddressError> {
        if text.contains("://") {
            return Err(AddressError::Scheme);
        }
        let missing = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            AddressError::NoHost
        } else {
            AddressError::NoPort
        };
        let (host, port) = text.rsplit_once(':').ok_or(missing)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(AddressError::BadPort)?;
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => inner.parse::<Ipv6Addr>().map_err(|_| AddressError::BadHost)?.to_string(),
            None if host.contains(':') => return Err(AddressError::NoPort),
            None => host.to_owned(),
        };
        if is_host(&host) { Ok(HostPort { host, port }) } else { Err(AddressError::BadHost) }
    }
}

impl FromStr for UpstreamAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<UpstreamAddress, AddressError> {
        let Some(path) = text.strip_prefix("unix:") else { return text.parse().map(UpstreamAddress::Tcp) };
        if !path.starts_with('/') || path.len() > UNIX_PATH_BYTES || path.contains('\0') {
            return Err(AddressError::BadPath);
        }
        Ok(UpstreamAddress::Unix(PathBuf::from(path)))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpstreamAddress::Tcp(target) => target.fmt(f),
            UpstreamAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Whether a certificate can be issued for the host. A host for which this is impossible is rejected at start, since it
/// could not be verified later.
fn is_host(host: &str) -> bool {
    ServerName::try_from(host.strip_suffix('.').unwrap_or(host)).is_ok()
}

/// `sun_path` has 108 bytes, including its closing NUL (unix(7)).
const UNIX_PATH_BYTES: usize = 107;

#[cfg(test)]
mod tests {
    use super::{AddressError, HostPort, UpstreamAddress};

    #[test]
    fn reads_what_it_shows() {
        for text in ["db1.example.net:27017", "127.0.0.1:1", "[::1]:27018", "my_db:65535", "unix:/run/mongodb.sock"] {
            let parsed: UpstreamAddress = text.parse().unwrap();
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        use AddressError::{BadHost, BadPath, BadPort, NoHost, NoPort, Scheme};
        let rows = [
            ("db1", NoPort),
            ("28017", NoHost),
            ("http://127.0.0.1:28017/status", Scheme),
            ("::1", NoPort),
            ("fe80::1:27017", NoPort),
            ("db1:", BadPort),
            ("db1:0", BadPort),
            ("db1:65536", BadPort),
            ("db1:-1", BadPort),
            (":27017", BadHost),
            ("a b:27017", BadHost),
            ("db..net:27017", BadHost),
            ("999.1.1.1:27017", BadHost),
            ("db-.net:27017", BadHost),
            ("[db]:27017", BadHost),
            ("mongodb://db1:27017", Scheme),
            ("unix:", BadPath),
            ("unix:relative.sock", BadPath),
        ];
        for (text, error) in rows {
            assert_eq!(text.parse::<UpstreamAddress>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn knows_what_stays_on_this_host() {
        for (text, local) in
            [("localhost:1", true), ("127.8.0.1:1", true), ("[::1]:1", true), ("unix:/a", true), ("db1:1", false)]
        {
            assert_eq!(text.parse::<UpstreamAddress>().unwrap().is_local(), local, "{text}");
        }
        assert_eq!("[::1]:5".parse::<HostPort>().unwrap().socket_addr(), Some("[::1]:5".parse().unwrap()));
    }
}
