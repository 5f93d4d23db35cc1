//! The sockets of the host: connections from before the redirect, which go around tlsramp until they are closed; and
//! whether anybody listens where the redirect leads.

use std::net::IpAddr;

use procfs::net::{TcpNetEntry, TcpState};

use super::settings::Sidecar;

/// What is known of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sockets {
    /// Open connections to the mongod's port, from other hosts.
    pub(super) older: usize,
    /// Ports that the redirects lead to, and that nobody can be reached at.
    pub(super) deaf: Vec<u16>,
}

/// Looks at them; none where they could not be read.
pub(super) fn sockets(sidecar: &Sidecar) -> Option<Sockets> {
    let mut entries = procfs::net::tcp().ok()?;
    // A kernel without IPv6 has no second table.
    entries.extend(procfs::net::tcp6().unwrap_or_default());
    let all: Vec<_> = entries.iter().map(Socket::of).collect();
    Some(judge(&all, sidecar))
}

fn judge(all: &[Socket], sidecar: &Sidecar) -> Sockets {
    let from_outside = |socket: &&Socket| {
        let asked = sidecar.inbound.is_some_and(|inbound| inbound.server_port == socket.port);
        asked && socket.state == TcpState::Established && socket.own != socket.peer && !socket.peer.is_loopback()
    };
    let heard = |port: u16, at: &dyn Fn(IpAddr) -> bool| {
        all.iter().any(|socket| socket.state == TcpState::Listen && socket.port == port && at(socket.own))
    };
    let inbound = sidecar.inbound.map(|inbound| inbound.port);
    let outbound = sidecar.outbound.as_ref().map(|outbound| outbound.port);
    let deaf_to_others = inbound.filter(|port| !heard(*port, &|own| !own.is_loopback()));
    let deaf_to_us = outbound.filter(|port| !heard(*port, &|own| own.is_loopback() || own.is_unspecified()));
    Sockets {
        older: all.iter().filter(from_outside).count(),
        deaf: deaf_to_others.into_iter().chain(deaf_to_us).collect(),
    }
}

#[derive(Debug, Clone)]
struct Socket {
    own: IpAddr,
    port: u16,
    peer: IpAddr,
    state: TcpState,
}

impl Socket {
    fn of(entry: &TcpNetEntry) -> Socket {
        Socket {
            own: entry.local_address.ip().to_canonical(),
            port: entry.local_address.port(),
            peer: entry.remote_address.ip().to_canonical(),
            state: entry.state.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use procfs::net::TcpState;

    use super::{Socket, Sockets, judge};
    use crate::netfilter::settings::{Inbound, Outbound, Sidecar};

    fn sidecar() -> Sidecar {
        let outbound = Outbound {
            port: 27217,
            member_ports: vec![27017],
            member_addresses: Vec::new(),
            exempt: 5,
            exempt_group: "5".into(),
        };
        let inbound = Some(Inbound { server_port: 27017, port: 27117 });
        Sidecar { table: "tlsramp".into(), inbound, outbound: Some(outbound), canary_to: 27217 }
    }

    fn socket(own: &str, peer: &str, state: TcpState) -> Socket {
        let (own, peer): (SocketAddr, SocketAddr) = (own.parse().unwrap(), peer.parse().unwrap());
        Socket { own: own.ip().to_canonical(), port: own.port(), peer: peer.ip().to_canonical(), state }
    }

    #[test]
    fn counts_open_ones_from_outside() {
        let four = [
            socket("0.0.0.0:27017", "0.0.0.0:0", TcpState::Listen),
            socket("10.9.0.1:27017", "10.9.0.2:35374", TcpState::Established),
            socket("127.0.0.1:27017", "127.0.0.1:35374", TcpState::Established),
            socket("10.9.0.1:27017", "10.9.0.1:35375", TcpState::Established),
            socket("10.9.0.1:27017", "10.9.0.2:35376", TcpState::TimeWait),
            socket("10.9.0.1:27018", "10.9.0.2:35377", TcpState::Established),
        ];
        assert_eq!(judge(&four, &sidecar()), Sockets { older: 1, deaf: vec![27117, 27217] });
        let six = [
            socket("[::ffff:10.9.0.1]:27017", "[::ffff:10.9.0.2]:35374", TcpState::Established),
            socket("[fd09::1]:27017", "[fd09::2]:35374", TcpState::Established),
            socket("[::1]:27017", "[::1]:35374", TcpState::Established),
        ];
        assert_eq!(judge(&[&four[..], &six].concat(), &sidecar()).older, 3);
    }

    #[test]
    fn says_where_nobody_listens() {
        let cases: [(&[&str], &[u16]); 5] = [
            (&["0.0.0.0:27117", "127.0.0.1:27217"], &[]),
            (&["127.0.0.1:27117", "127.0.0.1:27217"], &[27117]),
            (&["10.9.0.1:27117", "10.9.0.1:27217"], &[27217]),
            (&["[::]:27117", "[::1]:27217"], &[]),
            (&[], &[27117, 27217]),
        ];
        for (listeners, deaf) in cases {
            let all: Vec<_> = listeners.iter().map(|own| socket(own, "0.0.0.0:0", TcpState::Listen)).collect();
            assert_eq!(judge(&all, &sidecar()).deaf, deaf, "{listeners:?}");
        }
    }
}
