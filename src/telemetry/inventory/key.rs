//! The key of a row, and the identity by which an operator accepts a client.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

use crate::limits::CLIENT_TEXT_BYTES;
use crate::mongo::ClientMetadata;

/// How a client connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Plaintext.
    Plaintext,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
    /// TLS that is passed through, so that the version is unknown.
    Tls,
}

impl Transport {
    /// The transport's name in lists.
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
pub(super) struct RowKey {
    pub(super) ip: IpAddr,
    pub(super) kind: Transport,
    /// The client's metadata; in a shared row, only whether the row is for members.
    pub(super) client: ClientMetadata,
    /// Whether this is the shared row of the applications that have no row of their own.
    pub(super) more: bool,
}

impl RowKey {
    /// The group of rows to which the key belongs. The number of rows of a group is bounded.
    pub(super) fn group(&self) -> RowGroup {
        RowGroup { ip: self.ip, kind: self.kind, member: self.client.internal }
    }

    /// The key of the shared row, at `ip`, in which this row's connections are counted if the row's group is full or
    /// rows are merged.
    pub(super) fn folded(&self, ip: IpAddr) -> RowKey {
        RowKey {
            ip,
            kind: self.kind,
            client: ClientMetadata { internal: self.client.internal, ..ClientMetadata::default() },
            more: true,
        }
    }
}

/// The rows of one address and transport, either of members or of other clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RowGroup {
    pub(super) ip: IpAddr,
    pub(super) kind: Transport,
    pub(super) member: bool,
}

impl RowGroup {
    /// For IPv6, the group of the address's /64 network: one host may have all addresses of the network.
    pub(super) fn of_network(self) -> RowGroup {
        let ip = match self.ip {
            IpAddr::V4(_) => self.ip,
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        };
        RowGroup { ip, ..self }
    }
}

/// An application or a server at an address, regardless of its driver version and transport. An operator accepts a
/// client by its identity. Members and clients have different identities: a connection of a mongod says nothing about
/// clients on the same host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientIdentity {
    /// Its address; IPv4-mapped addresses are converted to IPv4.
    pub ip: IpAddr,
    /// The application name.
    pub application: Option<String>,
    /// Its driver.
    pub driver: Option<String>,
    /// Which clients of the address this identity stands for.
    pub scope: Scope,
}

/// Which clients of an address a [`ClientIdentity`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// The client of this application and driver.
    Client,
    /// The mongod or mongos of this application and driver.
    Member,
    /// All clients in the shared row.
    More,
    /// All members in the shared row.
    MoreMembers,
    /// All clients of the address; only used to accept them.
    Everyone,
}

impl Scope {
    /// The last part of the identity's text, if there is one.
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

/// The text is not the identity of a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the key of a client; expected IP/APPLICATION/DRIVER as `tlsramp ctl clients --wide` lists it, with - for an \
     unknown part (a member: IP/APPLICATION/DRIVER/member; all clients of an address: IP/-/-/all)"
)]
pub struct InvalidClientKey(String);

impl ClientIdentity {
    pub(super) fn of(key: &RowKey) -> ClientIdentity {
        let (application, driver) = (key.client.application.clone(), key.client.driver.clone());
        let scope = match (key.client.internal, key.more) {
            (false, false) => Scope::Client,
            (true, false) => Scope::Member,
            (false, true) => Scope::More,
            (true, true) => Scope::MoreMembers,
        };
        ClientIdentity { ip: key.ip, application, driver, scope }
    }

    /// A client without metadata.
    pub(super) fn nameless(ip: IpAddr) -> ClientIdentity {
        ClientIdentity { ip, application: None, driver: None, scope: Scope::Client }
    }

    /// The identity of all clients of this address.
    fn everyone(&self) -> ClientIdentity {
        ClientIdentity { ip: self.ip, application: None, driver: None, scope: Scope::Everyone }
    }

    /// Whether this is a member (mongod, mongos).
    pub fn is_member(&self) -> bool {
        matches!(self.scope, Scope::Member | Scope::MoreMembers)
    }

    /// Whether this stands for all clients or members in a shared row.
    pub fn is_many(&self) -> bool {
        matches!(self.scope, Scope::More | Scope::MoreMembers)
    }

    /// Whether the client was accepted, by itself or together with all clients of its address.
    pub(super) fn is_in(&self, accepted: &BTreeSet<ClientIdentity>) -> bool {
        accepted.contains(self) || (!self.is_member() && accepted.contains(&self.everyone()))
    }

    /// Whether accepting this identity also accepts `other`.
    pub(super) fn includes(&self, other: &ClientIdentity) -> bool {
        self == other || (!other.is_member() && *self == other.everyone())
    }

    /// Whether accepting this identity accepts the clients of an address that have no name.
    pub(crate) fn includes_nameless(&self, ip: IpAddr) -> bool {
        self.includes(&ClientIdentity::nameless(ip))
    }

    /// Whether it has an application or driver name. Clients without one cannot be told apart.
    pub fn is_named(&self) -> bool {
        self.application.is_some() || self.driver.is_some()
    }

    /// Its text on command lines: `10.0.0.7/reports/PyMongo`, with `-` for unknown parts, followed by the [`Scope`] if
    /// needed.
    pub fn text(&self) -> String {
        let (application, driver) = (escape(self.application.as_deref()), escape(self.driver.as_deref()));
        let mut text = format!("{}/{application}/{driver}", self.ip);
        if let Some(scope) = self.scope.name() {
            text.push('/');
            text.push_str(scope);
        }
        text
    }

    /// Parses the text of [`ClientIdentity::text`].
    ///
    /// # Errors
    /// [`InvalidClientKey`] if the text is malformed.
    pub fn parse(text: &str) -> Result<ClientIdentity, InvalidClientKey> {
        let bad = || InvalidClientKey(text.chars().take(crate::text::SHOWN_CHARS).collect());
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

/// Percent-encodes all bytes but ASCII letters, digits and `._-:@+,`, so that a shell needs no quotes. A part that is a
/// single dash is encoded too, because a dash stands for an unknown part.
fn escape(part: Option<&str>) -> String {
    let Some(part) = part else { return "-".to_owned() };
    let mut text = String::new();
    for byte in part.bytes() {
        let plain = byte.is_ascii_alphanumeric() || (b"._-:@+,".contains(&byte) && part != "-");
        if plain {
            text.push(char::from(byte));
        } else {
            // Writing to a `String` does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Reverses [`escape`]. The outer `None` means that the text is malformed.
#[expect(clippy::option_option, reason = "an unknown part is not a malformed one")]
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
