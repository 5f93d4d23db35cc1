//! The canary: an address that only leads anywhere while the redirect rules of `tlsramp netfilter` are in force. It
//! opens nothing itself.

use std::net::{Ipv4Addr, SocketAddrV4};

/// The address that leads to the own port `redirected_to` for as long as the rules are there: the first rule of their
/// output chain redirects it to that port. Dialled every few seconds, it tells a sidecar whose rules have vanished (a
/// firewall that was reloaded takes all tables with it), while nothing else would: the connections just go around it.
///
/// It is `127.116.H.L:1`, where H and L are the high and the low byte of the port, so that two sidecars of one host do
/// not answer for each other. 127/8 never leaves the host, and on TCP port 1 (tcpmux) nobody listens: without the rules
/// the dial is refused at once.
///
/// `redirected_to` is the port of `--outboundTransparent`, or `--port` where only inbound connections are redirected.
#[must_use]
pub const fn canary(redirected_to: u16) -> SocketAddrV4 {
    let [high, low] = redirected_to.to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(127, CANARY_NET, high, low), CANARY_PORT)
}

/// The letter t, out of the way of what people choose within 127/8.
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
