//! Names: a row's key, and the text by which an operator accepts a client.

use std::fmt::Write;
use std::net::IpAddr;

use crate::limits::CLIENT_TEXT_BYTES;
use crate::mongo::Client;

/// How a client came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Without TLS.
    Plaintext,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
    /// TLS that was passed through, of a version that is not ours to see.
    Tls,
}

impl Kind {
    /// Its name in lists.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Plaintext => "plaintext",
            Kind::Tls12 => "TLS1.2",
            Kind::Tls13 => "TLS1.3",
            Kind::Tls => "tls",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Kind> {
        [Kind::Plaintext, Kind::Tls12, Kind::Tls13, Kind::Tls].into_iter().find(|kind| kind.name() == name)
    }
}

/// Uniquely identifies a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) ip: IpAddr,
    pub(super) kind: Kind,
    pub(super) client: Client,
}

/// An application, or a server, at an address, whatever its driver's version and kind of connection. It is what is
/// accepted by name. Members are told from clients: a mongod's connection says nothing about a client on its host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Its address; an IPv4-mapped one is its IPv4 address.
    pub ip: IpAddr,
    /// The application's name for itself.
    pub application: Option<String>,
    /// Its driver.
    pub driver: Option<String>,
    /// Whether it is a mongod or a mongos.
    pub member: bool,
}

/// A text that names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no key of a client; expected IP/APPLICATION/DRIVER (of a member, IP/APPLICATION/DRIVER/member) as `tlsramp ctl clients` lists \
     it, with - for what is not known"
)]
pub struct BadKey(String);

impl Identity {
    pub(super) fn of(key: &Key) -> Identity {
        let (application, driver) = (key.client.application.clone(), key.client.driver.clone());
        Identity { ip: key.ip, application, driver, member: key.client.internal }
    }

    /// A client that says nothing of itself.
    pub(super) fn nameless(ip: IpAddr) -> Identity {
        Identity { ip, application: None, driver: None, member: false }
    }

    /// Whether it says anything of itself. Clients of the same address that do not cannot be told from each other.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.application.is_some() || self.driver.is_some()
    }

    /// Its text, fit for a command line: `10.0.0.7/reports/PyMongo`, with `-` for what is not known, and `/member` at the
    /// end for a mongod or a mongos.
    #[must_use]
    pub fn text(&self) -> String {
        let (application, driver) = (escape(self.application.as_deref()), escape(self.driver.as_deref()));
        let mut text = format!("{}/{application}/{driver}", self.ip);
        if self.member {
            text.push('/');
            text.push_str(MEMBER);
        }
        text
    }

    /// Reads such a text.
    ///
    /// # Errors
    /// [`BadKey`]
    pub fn parse(text: &str) -> Result<Identity, BadKey> {
        let bad = || BadKey(text.chars().take(crate::limits::SHOWN_CHARS).collect());
        let parts: Vec<_> = text.split('/').take(5).collect();
        let (ip, application, driver, member) = match parts[..] {
            [ip, application, driver] => (ip, application, driver, false),
            [ip, application, driver, MEMBER] => (ip, application, driver, true),
            _ => return Err(bad()),
        };
        let ip: IpAddr = ip.parse().map_err(|_| bad())?;
        let application = unescape(application).ok_or_else(bad)?;
        let driver = unescape(driver).ok_or_else(bad)?;
        Ok(Identity { ip: ip.to_canonical(), application, driver, member })
    }
}

/// Ends the text of a member.
const MEMBER: &str = "member";

/// What needs no quotes in a shell stays; all else is percent-encoded, and so is a lone dash.
fn escape(part: Option<&str>) -> String {
    let Some(part) = part else { return "-".to_owned() };
    let mut text = String::new();
    for byte in part.bytes() {
        let plain = byte.is_ascii_alphanumeric() || (b"._-:@+,".contains(&byte) && part != "-");
        if plain {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Back; the outer none is a text that is not what [`escape`] makes.
#[expect(clippy::option_option, reason = "a part that is not known is not a part that is wrong")]
fn unescape(text: &str) -> Option<Option<String>> {
    if text == "-" {
        return Some(None);
    }
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
        bytes.push(high << 4 | low);
    }
    let part = String::from_utf8(bytes).ok().filter(|part| (1..=CLIENT_TEXT_BYTES).contains(&part.len()))?;
    Some(Some(part))
}

#[cfg(test)]
mod tests {
    use super::Identity;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    #[test]
    fn texts_of_keys() {
        let rows = [
            (Some("reports"), Some("PyMongo"), "10.0.0.7/reports/PyMongo"),
            (None, None, "10.0.0.7/-/-"),
            (Some("-"), Some("nodejs|mongosh"), "10.0.0.7/%2D/nodejs%7Cmongosh"),
            (Some("mongosh 2.12.0"), None, "10.0.0.7/mongosh%202.12.0/-"),
            (Some("member"), Some("member"), "10.0.0.7/member/member"),
            (None, Some("member"), "10.0.0.7/-/member/member"),
        ];
        for (application, driver, text) in rows {
            let identity = Identity {
                ip: "10.0.0.7".parse().unwrap(),
                application: application.map(Into::into),
                driver: driver.map(Into::into),
                member: text.matches('/').count() == 3,
            };
            assert_eq!((identity.text().as_str(), Identity::parse(text)), (text, Ok(identity)));
        }
        for bad in [
            "",
            "10.0.0.7",
            "10.0.0.7/a",
            "10.0.0.7/a/b/c",
            "10.0.0.7/member",
            "10.0.0.7/a/member/member/member",
            "host/a/b",
            "10.0.0.7/a/%4",
            "10.0.0.7//b",
            "::1/%FF/-",
        ] {
            assert!(Identity::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Identity::parse("::ffff:10.0.0.7/-/-").unwrap().text(), "10.0.0.7/-/-");
    }

    proptest! {
        #[test]
        fn any_name_comes_back(application in proptest::option::of(".{1,30}"), driver in proptest::option::of(".{1,30}"), v6 in any::<u128>(), member in any::<bool>()) {
            let ip = std::net::IpAddr::from(std::net::Ipv6Addr::from(v6)).to_canonical();
            let identity = Identity { ip, application, driver, member };
            let text = identity.text();
            let special = b"'\"\\$`;&|<>()*?[]{}~#!";
            let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !special.contains(&byte));
            prop_assert!(plain, "{}", text);
            prop_assert_eq!(Identity::parse(&text), Ok(identity));
        }
    }
}
