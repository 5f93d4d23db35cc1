//! The sockets of the host: connections from before the redirect, which go around tlsramp until they are closed; and
//! whether anybody listens where the redirect leads.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::settings::Sidecar;
use crate::files;
use crate::limits::SOCKET_TABLE_BYTES;

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
    let mut all = Vec::new();
    // A kernel without IPv6 has no second one.
    for path in ["/proc/net/tcp", "/proc/net/tcp6"].map(Path::new).iter().filter(|path| path.exists()) {
        all.extend(parse(&String::from_utf8_lossy(&files::read(path, SOCKET_TABLE_BYTES).ok()?)));
    }
    Some(judge(&all, sidecar))
}

fn judge(all: &[Socket], sidecar: &Sidecar) -> Sockets {
    let from_outside = |socket: &&Socket| {
        let asked = sidecar.inbound.is_some_and(|inbound| inbound.server_port == socket.port);
        asked && socket.state == ESTABLISHED && socket.own != socket.peer && !socket.peer.is_loopback()
    };
    let heard = |port: u16, at: &dyn Fn(IpAddr) -> bool| {
        all.iter().any(|socket| socket.state == LISTEN && socket.port == port && at(socket.own))
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

#[derive(Debug, Clone, PartialEq, Eq)]
struct Socket {
    own: IpAddr,
    port: u16,
    peer: IpAddr,
    state: String,
}

/// One table of the kernel's, by its columns: number, own address, peer, state ...
fn parse(table: &str) -> Vec<Socket> {
    let socket = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().take(4).collect();
        let [_, own, peer, state] = columns.as_slice() else { return None };
        let ((own, port), (peer, _)) = (address(own)?, address(peer)?);
        Some(Socket { own, port, peer, state: (*state).to_owned() })
    };
    table.lines().skip(1).filter_map(socket).collect()
}

/// `0100007F:6989`: words of four bytes in the order of this machine, and the port.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if !address.is_ascii() {
        return None;
    }
    let words = (0..address.len() / 8).map(|word| u32::from_str_radix(address.get(word * 8..word * 8 + 8)?, 16).ok());
    let bytes: Vec<u8> = words.collect::<Option<Vec<u32>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let address = match bytes.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical(),
        _ => return None,
    };
    Some((address, port))
}

const ESTABLISHED: &str = "01";
const LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use super::{Sockets, address, judge, parse};
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

    /// Port 27017 is 6989, 27117 is 69ED, 27217 is 6A51.
    const FOUR: &str = "  sl  local_address rem_address   st tx_queue rx_queue\n\
        0: 00000000:6989 00000000:0000 0A 0\n\
        1: 0100090A:6989 0200090A:8A2E 01 0\n\
        2: 0100007F:6989 0100007F:8A2E 01 0\n\
        3: 0100090A:6989 0100090A:8A2F 01 0\n\
        4: 0100090A:6989 0200090A:8A30 06 0\n\
        5: 0100090A:698A 0200090A:8A31 01 0\n\
        6: 0100090A:6989\n";
    const SIX: &str = "head\n\
        0: 0000000000000000FFFF00000100090A:6989 0000000000000000FFFF00000200090A:8A2E 01 0\n\
        1: 000009FD000000000000000001000000:6989 000009FD000000000000000002000000:8A2E 01 0\n\
        2: 00000000000000000000000001000000:6989 00000000000000000000000001000000:8A2E 01 0\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn counts_open_ones_from_outside() {
        assert_eq!(judge(&parse(FOUR), &sidecar()), Sockets { older: 1, deaf: vec![27117, 27217] });
        assert_eq!(judge(&[parse(FOUR), parse(SIX)].concat(), &sidecar()).older, 3);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn says_where_nobody_listens() {
        let cases: [(&[&str], &[u16]); 5] = [
            (&["00000000:69ED", "0100007F:6A51"], &[]),
            (&["0100007F:69ED", "0100007F:6A51"], &[27117]),
            (&["0100090A:69ED", "0100090A:6A51"], &[27217]),
            (&["00000000000000000000000000000000:69ED", "00000000000000000000000001000000:6A51"], &[]),
            (&[], &[27117, 27217]),
        ];
        for (listeners, deaf) in cases {
            let peer = |own: &str| own.split(':').next().unwrap().replace(|digit| digit != '0', "0");
            let lines = listeners.iter().map(|own| format!("0: {own} {}:0000 0A 0\n", peer(own)));
            let table: String = ["head\n".to_owned()].into_iter().chain(lines).collect();
            assert_eq!(judge(&parse(&table), &sidecar()).deaf, deaf, "{listeners:?}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_words_of_this_machine() {
        let shown = |text: &str| address(text).map(|(ip, port)| format!("{ip} {port}"));
        assert_eq!(shown("0100007F:6989").as_deref(), Some("127.0.0.1 27017"));
        assert_eq!(shown("0000000000000000FFFF00000100090A:6989").as_deref(), Some("10.9.0.1 27017"));
        for wrong in ["", ":", "0100007F", "0100007:6989", "zz00007F:6989", "0100007F:zz", "\u{fc}00007F:1"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }
}
