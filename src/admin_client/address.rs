//! The address of an admin port: `HOST:PORT` or `unix:PATH`.

use std::fmt;
use std::str::FromStr;

use crate::net::{AddressError, UpstreamAddress};

/// The address of an admin port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AdminAddress(pub(super) UpstreamAddress);

impl AdminAddress {
    /// The default address.
    pub const DEFAULT: &'static str = "127.0.0.1:28017";

    /// Whether this is a Unix socket, which is used without TLS.
    pub fn is_unix(&self) -> bool {
        matches!(self.0, UpstreamAddress::Unix(_))
    }

    /// The value of the `Host` header: the address, or `localhost` for a Unix socket.
    pub(super) fn host_header(&self) -> String {
        match &self.0 {
            UpstreamAddress::Tcp(target) => target.to_string(),
            UpstreamAddress::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl FromStr for AdminAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<AdminAddress, AddressError> {
        text.parse().map(AdminAddress)
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::AdminAddress;

    #[test]
    fn reads_both_kinds_and_names_the_host() {
        for (text, host) in [
            (AdminAddress::DEFAULT, "127.0.0.1:28017"),
            ("[::1]:28017", "[::1]:28017"),
            ("db1.example.net:28017", "db1.example.net:28017"),
            ("unix:/run/tlsramp.sock", "localhost"),
        ] {
            let address: AdminAddress = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.host_header().as_str()), (text, host));
        }
        for wrong in ["", "28017", "localhost", "unix:run.sock", "http://127.0.0.1:28017/", "a:0"] {
            assert!(wrong.parse::<AdminAddress>().is_err(), "{wrong}");
        }
    }
}
