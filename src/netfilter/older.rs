//! Connections from before the redirect: open ones to the mongod's port, from other hosts. They go around tlsramp until
//! they are closed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::files;
use crate::limits::SOCKET_TABLE_BYTES;

/// How many there are; none where that could not be found out.
pub(super) fn older(server_port: u16) -> Option<usize> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(Path::new);
    // A kernel without IPv6 has no second one.
    let there = tables.iter().filter(|path| path.exists());
    there
        .map(|path| Some(count(&String::from_utf8_lossy(&files::read(path, SOCKET_TABLE_BYTES).ok()?), server_port)))
        .sum()
}

/// Of one table of the kernel's, by its columns: number, own address, peer, state ...
fn count(table: &str, server_port: u16) -> usize {
    let from_outside = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().take(4).collect();
        let [_, own, peer, ESTABLISHED] = columns.as_slice() else { return false };
        let (Some((own, port)), Some((peer, _))) = (address(own), address(peer)) else { return false };
        port == server_port && own != peer && !peer.is_loopback()
    };
    table.lines().skip(1).filter(|line| from_outside(line)).count()
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

#[cfg(test)]
mod tests {
    use super::{address, count};

    #[test]
    #[cfg(target_endian = "little")]
    fn counts_open_ones_from_outside() {
        let four = "  sl  local_address rem_address   st tx_queue rx_queue\n\
            0: 00000000:6989 00000000:0000 0A 0\n\
            1: 0100090A:6989 0200090A:8A2E 01 0\n\
            2: 0100007F:6989 0100007F:8A2E 01 0\n\
            3: 0100090A:6989 0100090A:8A2F 01 0\n\
            4: 0100090A:6989 0200090A:8A30 06 0\n\
            5: 0100090A:698A 0200090A:8A31 01 0\n\
            6: 0100090A:6989\n";
        assert_eq!(count(four, 0x6989), 1);
        let six = "head\n0: 0000000000000000FFFF00000100090A:6989 0000000000000000FFFF00000200090A:8A2E 01 0\n\
            1: 000009FD000000000000000001000000:6989 000009FD000000000000000002000000:8A2E 01 0\n\
            2: 00000000000000000000000001000000:6989 00000000000000000000000001000000:8A2E 01 0\n";
        assert_eq!(count(six, 0x6989), 2);
        assert_eq!(
            address("0100007F:6989").map(|(ip, port)| format!("{ip} {port}")).as_deref(),
            Some("127.0.0.1 27017")
        );
        for wrong in ["", ":", "0100007F", "0100007:6989", "zz00007F:6989", "0100007F:zz", "ü00007F:1"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }
}
