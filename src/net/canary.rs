//! The canary: an address that is reachable only while the interception rules of `tlsramp netfilter` are in force. This
//! module only computes the address.

use std::net::{Ipv4Addr, SocketAddrV4};

/// The address of the canary. While the interception rules are in force, the first rule of their output chain redirects
/// it to our own port `redirected_to`. A sidecar dials the canary every few seconds to detect that the rules are gone,
/// for example because a reload of the firewall has removed all tables. There is no other sign, since connections then
/// simply bypass the sidecar.
///
/// The address is `127.116.H.L:1`, where H and L are the high and the low byte of the port, so that two sidecars on one
/// host have different canaries. Packets to 127/8 never leave the host, and no process listens on TCP port 1 (tcpmux):
/// without the rules, the dial is refused at once.
///
/// `redirected_to` is the port of `--outboundTransparent`, or that of `--port` if only inbound connections are
/// redirected.
pub const fn canary(redirected_to: u16) -> SocketAddrV4 {
    let [high, low] = redirected_to.to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(127, CANARY_NET, high, low), CANARY_PORT)
}

/// ASCII letter t, 116: unlikely to collide with addresses that people choose within 127/8.
const CANARY_NET: u8 = b't';
const CANARY_PORT: u16 = 1;

#[cfg(test)]
mod tests {
    use super::canary;

    #[test]
    fn is_loopback_and_one_for_each_port() {
        assert_eq!(canary(27117).to_string(), "127.116.105.237:1");
        for port in [1, 255, 256, 65535] {
            assert!(canary(port).ip().is_loopback());
            assert_ne!(canary(port), canary(port - 1));
        }
    }
}
