//! The known members of the replica set: the names that the certificate of a server at an address is verified against,
//! and the addresses whose connections may use reserved slots. The control plane writes the list; the data plane reads
//! it. This module resolves no names.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::ServerName;

use crate::net::HostPort;

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The member's name in the configuration of the replica set.
    pub name: HostPort,
    /// The member's addresses, as resolved on this host.
    pub addresses: Vec<IpAddr>,
    /// The sources of the member's name, sorted, without duplicates.
    pub sources: Vec<NameSource>,
}

/// The source of a member's name. There are no other sources: names from a peer's certificate or a reverse look-up are
/// never used to verify that peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameSource {
    /// `--member`.
    Option,
    /// The name of an `--outbound` route.
    Outbound,
    /// The `hello` of the server that this proxy fronts.
    Hello,
    /// A rollout, through the admin port.
    Rollout,
}

/// All known members.
#[derive(Debug, Default)]
pub struct MemberList {
    members: Vec<Member>,
    addresses: HashSet<IpAddr>,
}

/// Writes the member list. There is only one writer.
#[derive(Debug)]
pub struct MemberListWriter(Arc<ArcSwap<MemberList>>);

/// Reads the member list.
#[derive(Debug, Clone)]
pub struct MemberListReader(Arc<ArcSwap<MemberList>>);

impl NameSource {
    /// Returns the name used in `GET /status`.
    pub const fn name(self) -> &'static str {
        match self {
            NameSource::Option => "option",
            NameSource::Outbound => "outbound",
            NameSource::Hello => "hello",
            NameSource::Rollout => "rollout",
        }
    }
}

impl MemberList {
    /// Creates a list of `members`.
    pub fn new(members: Vec<Member>) -> MemberList {
        let addresses = members.iter().flat_map(|member| &member.addresses).map(IpAddr::to_canonical).collect();
        MemberList { members, addresses }
    }

    /// Returns the members.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns whether `ip` is an address of a member.
    pub fn has(&self, ip: IpAddr) -> bool {
        self.addresses.contains(&ip.to_canonical())
    }

    /// Returns the members with this address and port.
    pub fn at(&self, address: SocketAddr) -> impl Iterator<Item = &Member> {
        let ip = address.ip().to_canonical();
        self.members.iter().filter(move |member| {
            member.name.port == address.port() && member.addresses.iter().any(|own| own.to_canonical() == ip)
        })
    }

    /// Returns the names that are accepted for a server at `address`; its certificate must contain one of them. They
    /// are the names of the members at this address, or the address itself if there are none.
    pub fn names_at(&self, address: SocketAddr) -> Vec<ServerName<'static>> {
        let mut names = Vec::new();
        for member in self.at(address) {
            let name = member.name.host.trim_end_matches('.').to_owned();
            names.extend(ServerName::try_from(name).ok().filter(|name| !names.contains(name)));
        }
        if names.is_empty() { vec![ServerName::IpAddress(address.ip().to_canonical().into())] } else { names }
    }
}

impl MemberListWriter {
    /// Creates an empty list.
    pub fn new() -> MemberListWriter {
        MemberListWriter(Arc::default())
    }

    /// Returns a reader of the list.
    pub fn reader(&self) -> MemberListReader {
        MemberListReader(Arc::clone(&self.0))
    }

    /// Replaces the list.
    pub fn write(&self, members: MemberList) {
        self.0.store(Arc::new(members));
    }
}

impl Default for MemberListWriter {
    fn default() -> MemberListWriter {
        MemberListWriter::new()
    }
}

impl MemberListReader {
    /// Returns the current list.
    pub fn load(&self) -> Arc<MemberList> {
        self.0.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::{Member, MemberList, NameSource};

    fn member(name: &str, addresses: &[&str]) -> Member {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        Member { name: name.parse().unwrap(), addresses, sources: vec![NameSource::Option] }
    }

    #[test]
    fn whom_to_expect_where() {
        let members = MemberList::new(vec![
            member("db1.example.net:27017", &["10.0.0.1", "2001:db8::1"]),
            member("db2:27017", &["10.0.0.2"]),
            member("old2.:27017", &["::ffff:10.0.0.2"]),
            member("db2:27018", &["10.0.0.2"]),
            member("db3:27017", &[]),
        ]);
        let rows: &[(&str, &[&str])] = &[
            ("10.0.0.1:27017", &["db1.example.net"]),
            ("[2001:db8::1]:27017", &["db1.example.net"]),
            ("[::ffff:10.0.0.1]:27017", &["db1.example.net"]),
            // One server has two names; its certificate must contain one of them.
            ("10.0.0.2:27017", &["db2", "old2"]),
            ("10.0.0.2:27018", &["db2"]),
            // No member is known at this address, so the certificate must be for the address.
            ("10.0.0.2:27019", &["10.0.0.2"]),
            ("10.0.0.3:27017", &["10.0.0.3"]),
            ("[2001:db8::3]:27017", &["2001:db8::3"]),
        ];
        for (address, expected) in rows {
            let names = members.names_at(address.parse().unwrap());
            assert_eq!(names.iter().map(|name| name.to_str()).collect::<Vec<_>>(), *expected, "{address}");
        }
        for (ip, member) in [("10.0.0.1", true), ("::ffff:10.0.0.2", true), ("10.0.0.3", false)] {
            assert_eq!(members.has(ip.parse().unwrap()), member, "{ip}");
        }
    }
}
