//! Names to addresses, keeping the last good answer: a DNS server that is down for a minute must not take a
//! cluster down with it.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::HostPort;
use crate::limits::{MOST_ADDRESSES, RESOLUTION_FRESH, RESOLUTION_WAIT};

/// Resolves one upstream's name.
#[derive(Debug)]
pub struct Resolver {
    target: HostPort,
    last: Mutex<Option<Answer>>,
}

#[derive(Debug, Clone)]
struct Answer {
    addresses: Vec<SocketAddr>,
    at: Instant,
}

impl Resolver {
    /// A resolver that has asked nothing yet.
    #[must_use]
    pub fn new(target: HostPort) -> Resolver {
        Resolver { target, last: Mutex::new(None) }
    }

    /// The addresses, at most 16, in the order to try them: never none. One question at a time is under way.
    ///
    /// # Errors
    /// If the name does not resolve within `limit` and never has.
    pub async fn addresses(&self, limit: Duration) -> io::Result<Vec<SocketAddr>> {
        if let Some(address) = self.target.socket_addr() {
            return Ok(vec![address]);
        }
        let mut last = self.last.lock().await;
        if let Some(answer) = last.as_ref().filter(|answer| answer.at.elapsed() < RESOLUTION_FRESH) {
            return Ok(answer.addresses.clone());
        }
        // With an answer at hand, a slow DNS server costs little; the next connection asks again.
        let limit = if last.is_some() { limit.min(RESOLUTION_WAIT) } else { limit };
        let addresses = match tokio::time::timeout(limit, self.lookup()).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => last.take().ok_or(error)?.addresses,
            Err(_) => {
                last.take().ok_or(io::Error::new(io::ErrorKind::TimedOut, "DNS did not answer in time"))?.addresses
            }
        };
        *last = Some(Answer { addresses: addresses.clone(), at: Instant::now() });
        Ok(addresses)
    }

    async fn lookup(&self) -> io::Result<Vec<SocketAddr>> {
        let found = tokio::net::lookup_host((self.target.host.as_str(), self.target.port)).await?;
        let addresses: Vec<_> = found.take(MOST_ADDRESSES).collect();
        if addresses.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(addresses) }
    }
}
