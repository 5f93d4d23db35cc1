//! Where a redirected connection was going, and that it does not lead back to tlsramp.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::config::{Inbound, Settings};
use crate::net::{UpstreamAddress, is_own, original_destination};
use crate::state::MemberListReader;
use crate::telemetry::RedirectedTo;
use crate::upstream::Upstream;

/// What the route for redirected connections goes by.
#[derive(Debug)]
pub(super) struct Redirected {
    members: MemberListReader,
    own: Option<Own>,
}

/// The server that this proxy fronts, as others dial it.
#[derive(Debug)]
struct Own {
    /// Its port.
    server: u16,
    /// Where the inbound route listens in its stead.
    binds: Vec<SocketAddr>,
}

/// Why a connection has nowhere to go.
#[derive(Debug, thiserror::Error)]
pub(super) enum RedirectError {
    #[error("it was not redirected: it was made to this listener itself")]
    ToListener,
    #[error(
        "it is a connection of tlsramp's own: the redirect does not exempt this process (tlsramp netfilter \
         --exemptGroup names the primary group that it must run under)"
    )]
    OwnDial,
    #[error(
        "it is a connection of tlsramp's own, and would go in a circle: the server's name or address leads back to \
         tlsramp; name the server itself"
    )]
    Circle,
    #[error("the kernel does not say where it was going: {0}")]
    Unknown(#[from] io::Error),
}

impl Redirected {
    pub(super) fn new(settings: &Settings, members: MemberListReader) -> Redirected {
        Redirected { members, own: settings.inbound.as_ref().and_then(Own::of) }
    }

    /// The way to where a connection was going.
    pub(super) fn way(&self, socket: &TcpStream) -> Result<(Upstream, RedirectedTo), RedirectError> {
        let original = canonical(original_destination(socket)?);
        if original == canonical(socket.local_addr()?) {
            return Err(RedirectError::ToListener);
        }
        let names = self.members.load().names_at(original);
        // mongod dials its own name to find itself in the set: out here and in again by policy.
        let dialled = self.own.as_ref().and_then(|own| own.instead_of(original)).unwrap_or(original);
        Ok((Upstream::address(dialled, names), RedirectedTo { original, dialled }))
    }
}

impl Own {
    fn of(inbound: &Inbound) -> Option<Own> {
        match &inbound.upstream {
            UpstreamAddress::Tcp(target) => Some(Own { server: target.port, binds: inbound.binds.clone() }),
            UpstreamAddress::Unix(_) => None,
        }
    }

    /// The inbound route's address, for connections to the server's port on an address of this host.
    fn instead_of(&self, original: SocketAddr) -> Option<SocketAddr> {
        let ip = original.ip().to_canonical();
        if original.port() != self.server || !is_own(ip) {
            return None;
        }
        let there =
            |bind: &&SocketAddr| bind.ip() == ip || (bind.ip().is_unspecified() && bind.is_ipv4() == ip.is_ipv4());
        let bind = self.binds.iter().find(there);
        bind.map(|bind| SocketAddr::new(ip, bind.port())).or_else(|| self.binds.first().copied())
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::Own;

    #[test]
    fn the_own_server_is_reached_by_policy() {
        let own =
            |binds: &[&str]| Own { server: 27017, binds: binds.iter().map(|bind| bind.parse().unwrap()).collect() };
        let rows: &[(&[&str], &str, Option<&str>)] = &[
            (&["0.0.0.0:27117"], "127.0.0.9:27017", Some("127.0.0.9:27117")),
            (&["127.0.0.9:1", "127.0.0.8:1"], "127.0.0.8:27017", Some("127.0.0.8:1")),
            (&["[::]:27117", "127.0.0.1:27117"], "127.0.0.9:27017", Some("[::]:27117")),
            (&["0.0.0.0:27117"], "127.0.0.9:27018", None),
            (&["0.0.0.0:27117"], "192.0.2.1:27017", None),
        ];
        for (binds, original, instead) in rows {
            let found = own(binds).instead_of(original.parse().unwrap());
            assert_eq!(found, instead.map(|instead| instead.parse().unwrap()), "{binds:?} {original}");
        }
    }
}
