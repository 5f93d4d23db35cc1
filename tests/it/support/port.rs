//! A port of 127.0.0.1 that stays reserved for the test.
//!
//! A port that is found by binding and dropping a listener may be taken by another process: by another test, or by the
//! proxy under test, whose `--port 0` would then connect to itself.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A socket that is bound but does not listen. While it exists, the kernel assigns its port to no other process and
/// refuses connections to it, unless a process that is given the port listens on it with `SO_REUSEADDR`, as servers do.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    address: SocketAddr,
    _socket: Socket,
}

impl ReservedPort {
    /// Reserves a free port.
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
