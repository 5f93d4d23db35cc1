//! A port of 127.0.0.1 that stays the test's own.
//!
//! A port that is found by binding and dropping a listener belongs to whoever binds next: to another test, or to the
//! proxy under test itself, whose `--port 0` then leads to itself.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A socket that is bound and does not listen. While it lives, the kernel gives its port to nobody else, and refuses
/// connections to it, unless a process that was told the port listens there with `SO_REUSEADDR`, as servers do.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    address: SocketAddr,
    _socket: Socket,
}

impl ReservedPort {
    /// A free port.
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { address, _socket: socket }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port alone.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}
