//! Finds free ports below the kernel's range for outgoing connections. Otherwise, one of a bench's thousands of
//! outgoing connections could take a port before the bench listens on it.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Returns a free port of 127.0.0.1, and never the same one twice.
///
/// # Errors
/// No port is free.
pub(crate) fn free() -> Result<u16, String> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Two concurrent benches start at different ports.
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
    for _ in 0..COUNT {
        let port = FIRST + (start + GIVEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(format!("no free port from {FIRST} to {}", FIRST + COUNT))
}

const FIRST: u16 = 20_000;
/// Number of ports to choose from: Linux's range for outgoing connections starts above them (32768).
const COUNT: u16 = 12_000;
