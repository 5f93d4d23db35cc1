//! Names: a row's key, and the text by which an operator accepts a client.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

use crate::limits::CLIENT_TEXT_BYTES;
use crate::mongo::ClientMetadata;

/// How a client came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Without TLS.
    Plaintext,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
    /// TLS that was passed through, of a version that is not ours to see.
    Tls,
}

impl Transport {
    /// Its name in lists.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Plaintext => "plaintext",
            Transport::Tls12 => "TLS1.2",
            Transport::Tls13 => "TLS1.3",
            Transport::Tls => "tls",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Transport> {
        [Transport::Plaintext, Transport::Tls12, Transport::Tls13, Transport::Tls]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// Uniquely identifies a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) ip: IpAddr,
    pub(super) kind: Transport,
    /// What the client says of itself; of a row for many names, only whether they are members.
    pub(super) client: ClientMetadata,
    /// Whether it is the row of all names beyond those that have rows of their own.
    pub(super) more: bool,
}

impl Key {
    /// The rows that are bounded together.
    pub(super) fn group(&self) -> Group {
        Group { ip: self.ip, kind: self.kind, member: self.client.internal }
    }

    /// The key of the row that this one shares with others of an address once there are too many.
    pub(super) fn folded(&self, ip: IpAddr) -> Key {
        Key {
            ip,
            kind: self.kind,
            client: ClientMetadata { internal: self.client.internal, ..ClientMetadata::default() },
            more: true,
        }
    }
}

/// The rows of an address that come in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Group {
    pub(super) ip: IpAddr,
    pub(super) kind: Transport,
    pub(super) member: bool,
}

impl Group {
    /// The group of the whole network, for IPv6: one host may have all addresses of a /64.
    pub(super) fn of_network(self) -> Group {
        let ip = match self.ip {
            IpAddr::V4(_) => self.ip,
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        };
        Group { ip, ..self }
    }
}

/// An application, or a server, at an address, whatever its driver's version and kind of connection. It is what is
/// accepted by name. Members are told from clients: a mongod's connection says nothing about a client on its host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientIdentity {
    /// Its address; an IPv4-mapped one is its IPv4 address.
    pub ip: IpAddr,
    /// The application's name for itself.
    pub application: Option<String>,
    /// Its driver.
    pub driver: Option<String>,
    /// Whose it is.
    pub scope: Scope,
}

/// Which of the clients of an address an [`ClientIdentity`] means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// The client of this application and driver.
    Client,
    /// The mongod or mongos of this application and driver.
    Member,
    /// All clients beyond those that have rows of their own.
    More,
    /// All members beyond those that have rows of their own.
    MoreMembers,
    /// All clients of the address. Only accepted, never seen.
    Everyone,
}

impl Scope {
    /// The last part of an identity's text, if it has one.
    const fn name(self) -> Option<&'static str> {
        match self {
            Scope::Client => None,
            Scope::Member => Some("member"),
            Scope::More => Some("more"),
            Scope::MoreMembers => Some("more-members"),
            Scope::Everyone => Some("all"),
        }
    }

    fn parse(name: &str) -> Option<Scope> {
        let named = [Scope::Member, Scope::More, Scope::MoreMembers, Scope::Everyone];
        named.into_iter().find(|scope| scope.name() == Some(name))
    }
}

/// A text that names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no key of a client; expected IP/APPLICATION/DRIVER (of a member, IP/APPLICATION/DRIVER/member; of all clients of an address, IP/-/-/all) as `tlsramp ctl clients` lists \
     it, with - for what is not known"
)]
pub struct InvalidClientKey(String);

impl ClientIdentity {
    pub(super) fn of(key: &Key) -> ClientIdentity {
        let (application, driver) = (key.client.application.clone(), key.client.driver.clone());
        let scope = match (key.client.internal, key.more) {
            (false, false) => Scope::Client,
            (true, false) => Scope::Member,
            (false, true) => Scope::More,
            (true, true) => Scope::MoreMembers,
        };
        ClientIdentity { ip: key.ip, application, driver, scope }
    }

    /// A client that says nothing of itself.
    pub(super) fn nameless(ip: IpAddr) -> ClientIdentity {
        ClientIdentity { ip, application: None, driver: None, scope: Scope::Client }
    }

    /// All clients of its address.
    fn everyone(&self) -> ClientIdentity {
        ClientIdentity { ip: self.ip, application: None, driver: None, scope: Scope::Everyone }
    }

    /// Whether it is a mongod or a mongos, or several of them.
    #[must_use]
    pub fn is_member(&self) -> bool {
        matches!(self.scope, Scope::Member | Scope::MoreMembers)
    }

    /// Whether it stands for many names.
    #[must_use]
    pub fn is_many(&self) -> bool {
        matches!(self.scope, Scope::More | Scope::MoreMembers)
    }

    /// Whether what was accepted by name includes it.
    pub(super) fn is_in(&self, accepted: &BTreeSet<ClientIdentity>) -> bool {
        accepted.contains(self) || (!self.is_member() && accepted.contains(&self.everyone()))
    }

    /// Whether accepting this accepts that.
    pub(super) fn includes(&self, other: &ClientIdentity) -> bool {
        self == other || (!other.is_member() && *self == other.everyone())
    }

    /// Whether it says anything of itself. Clients of the same address that do not cannot be told from each other.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.application.is_some() || self.driver.is_some()
    }

    /// Its text, fit for a command line: `10.0.0.7/reports/PyMongo`, with `-` for what is not known, and what
    /// [`Scope`] adds at the end.
    #[must_use]
    pub fn text(&self) -> String {
        let (application, driver) = (escape(self.application.as_deref()), escape(self.driver.as_deref()));
        let mut text = format!("{}/{application}/{driver}", self.ip);
        if let Some(scope) = self.scope.name() {
            text.push('/');
            text.push_str(scope);
        }
        text
    }

    /// Reads such a text.
    ///
    /// # Errors
    /// [`InvalidClientKey`]
    pub fn parse(text: &str) -> Result<ClientIdentity, InvalidClientKey> {
        let bad = || InvalidClientKey(text.chars().take(crate::limits::SHOWN_CHARS).collect());
        let parts: Vec<_> = text.split('/').take(5).collect();
        let (ip, application, driver, scope) = match parts[..] {
            [ip, application, driver] => (ip, application, driver, Scope::Client),
            [ip, application, driver, scope] => (ip, application, driver, Scope::parse(scope).ok_or_else(bad)?),
            _ => return Err(bad()),
        };
        let ip: IpAddr = ip.parse().map_err(|_| bad())?;
        let application = unescape(application).ok_or_else(bad)?;
        let driver = unescape(driver).ok_or_else(bad)?;
        let is_named = application.is_some() || driver.is_some();
        if is_named && !matches!(scope, Scope::Client | Scope::Member) {
            return Err(bad());
        }
        Ok(ClientIdentity { ip: ip.to_canonical(), application, driver, scope })
    }
}

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
    use super::{ClientIdentity, Scope};
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
            let identity = ClientIdentity {
                ip: "10.0.0.7".parse().unwrap(),
                application: application.map(Into::into),
                driver: driver.map(Into::into),
                scope: if text.matches('/').count() == 3 { Scope::Member } else { Scope::Client },
            };
            assert_eq!((identity.text().as_str(), ClientIdentity::parse(text)), (text, Ok(identity)));
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
            assert!(ClientIdentity::parse(bad).is_err(), "{bad}");
        }
        for scope in ["more", "more-members", "all"] {
            let text = format!("10.0.0.7/-/-/{scope}");
            assert_eq!(ClientIdentity::parse(&text).unwrap().text(), text);
        }
        assert_eq!(ClientIdentity::parse("::ffff:10.0.0.7/-/-").unwrap().text(), "10.0.0.7/-/-");
    }

    proptest! {
        #[test]
        fn any_name_comes_back(application in proptest::option::of(".{1,30}"), driver in proptest::option::of(".{1,30}"), v6 in any::<u128>(), member in any::<bool>()) {
            let ip = std::net::IpAddr::from(std::net::Ipv6Addr::from(v6)).to_canonical();
            let identity = ClientIdentity { ip, application, driver, scope: if member { Scope::Member } else { Scope::Client } };
            let text = identity.text();
            let special = b"'\"\\$`;&|<>()*?[]{}~#!";
            let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !special.contains(&byte));
            prop_assert!(plain, "{}", text);
            prop_assert_eq!(ClientIdentity::parse(&text), Ok(identity));
        }
    }
}
