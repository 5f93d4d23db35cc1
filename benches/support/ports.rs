//! Ports that nobody has: below the range that the kernel takes ports of outgoing connections from, since a bench makes
//! thousands of those between the choice and the use.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port of 127.0.0.1 that is free now, and is not given twice.
///
/// # Errors
/// That all are taken.
pub(crate) fn free() -> Result<u16, String> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Two benches at a time begin at different places.
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
/// Up to where Linux takes outgoing ports from (32768).
const COUNT: u16 = 12_000;
