//! Resolves names to addresses and keeps the last good answer: a DNS server that is down for a minute must not take a
//! cluster down with it.
//!
//! Each query runs in a task of its own, one at a time per name, and its answer goes to all callers that wait for it.
//! Each caller limits its own wait; the answer is kept even if it arrives later.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use super::HostPort;
use crate::limits::{MOST_ADDRESSES, RESOLUTION_FAILED, RESOLUTION_FRESH, RESOLUTION_WAIT};

/// Resolves the name of one upstream.
#[derive(Debug)]
pub struct Resolver {
    target: HostPort,
    known: Arc<watch::Sender<Resolution>>,
}

/// The resolvers of all servers, one per name and port, shared by all code that dials a server.
#[derive(Debug, Clone, Default)]
pub struct Resolvers(Arc<Mutex<HashMap<HostPort, Weak<Resolver>>>>);

impl Resolvers {
    /// Returns the resolver of a server. It is dropped with its last user.
    pub fn get(&self, target: &HostPort) -> Arc<Resolver> {
        let key = HostPort { host: target.host.to_ascii_lowercase(), port: target.port };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolver) = known.get(&key).and_then(Weak::upgrade) {
            return resolver;
        }
        known.retain(|_, resolver| resolver.strong_count() > 0);
        let resolver = Arc::new(Resolver::new(target.clone()));
        known.insert(key, Arc::downgrade(&resolver));
        resolver
    }
}

/// The state of a name's resolution.
#[derive(Debug, Clone, Default)]
struct Resolution {
    /// The last good answer and its time.
    answer: Option<(Vec<SocketAddr>, Instant)>,
    /// The last failure, if it is later than the answer.
    failure: Option<(io::ErrorKind, String, Instant)>,
    /// When the current query was sent, if it is unanswered.
    asked: Option<Instant>,
}

impl PartialEq for Resolver {
    fn eq(&self, other: &Resolver) -> bool {
        self.target == other.target
    }
}

impl Eq for Resolver {}

impl Resolver {
    /// Creates a resolver that has sent no query yet.
    pub fn new(target: HostPort) -> Resolver {
        Resolver { target, known: Arc::new(watch::Sender::new(Resolution::default())) }
    }

    /// Returns the addresses in the order in which to try them: at least one, at most 16.
    ///
    /// # Errors
    /// If the name does not resolve within `limit` and never has before.
    pub async fn addresses(&self, limit: Duration) -> io::Result<Vec<SocketAddr>> {
        if let Some(address) = self.target.socket_addr() {
            return Ok(vec![address]);
        }
        let mut known = self.known.subscribe();
        let before = known.borrow_and_update().clone();
        if let Some((addresses, _)) = before.answer.as_ref().filter(|(_, at)| at.elapsed() < RESOLUTION_FRESH) {
            return Ok(addresses.clone());
        }
        self.ask();
        // If there is an older answer, the wait for a slow DNS server is short, and only the caller that starts the
        // query waits.
        let patience = match (&before.answer, before.asked) {
            (None, _) => limit,
            (Some(_), None) => limit.min(RESOLUTION_WAIT),
            (Some(_), Some(_)) => Duration::ZERO,
        };
        let settled = timeout(patience, known.wait_for(|known| known.asked.is_none())).await;
        let after = match settled {
            Ok(Ok(known)) => known.clone(),
            Ok(Err(_)) | Err(_) => before,
        };
        match (after.answer, after.failure) {
            (Some((addresses, _)), _) => Ok(addresses),
            (None, Some((kind, text, _))) => Err(io::Error::new(kind, text)),
            (None, None) => Err(io::Error::new(io::ErrorKind::TimedOut, "DNS did not answer in time")),
        }
    }

    /// Starts a query, unless one is in progress or has just failed.
    fn ask(&self) {
        let ask = self.known.send_if_modified(|known| {
            let failed = known.failure.as_ref().is_some_and(|(_, _, at)| at.elapsed() < RESOLUTION_FAILED);
            let ask = known.asked.is_none() && !failed;
            if ask {
                known.asked = Some(Instant::now());
            }
            ask
        });
        if ask {
            let (target, known) = (self.target.clone(), Arc::clone(&self.known));
            tokio::spawn(async move {
                let found = lookup(&target).await;
                known.send_modify(|known| {
                    known.asked = None;
                    match found {
                        Ok(addresses) => (known.answer, known.failure) = (Some((addresses, Instant::now())), None),
                        Err(error) => known.failure = Some((error.kind(), error.to_string(), Instant::now())),
                    }
                });
            });
        }
    }
}

async fn lookup(target: &HostPort) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await?;
    let addresses: Vec<_> = found.take(MOST_ADDRESSES).collect();
    if addresses.is_empty() { Err(io::Error::other("the name has no address")) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{HostPort, Resolution, Resolver};
    use crate::limits::{RESOLUTION_FRESH, RESOLUTION_WAIT};

    fn resolver(host: &str) -> Resolver {
        Resolver::new(HostPort { host: host.into(), port: 1 })
    }

    #[test]
    fn one_resolver_per_server() {
        let resolvers = super::Resolvers::default();
        let target = |text: &str| text.parse::<HostPort>().unwrap();
        let first = resolvers.get(&target("db1:1"));
        assert!(std::sync::Arc::ptr_eq(&first, &resolvers.get(&target("DB1:1"))));
        assert!(!std::sync::Arc::ptr_eq(&first, &resolvers.get(&target("db1:2"))));
        drop(first);
        assert_eq!(resolvers.0.lock().unwrap().len(), 2);
        drop(resolvers.get(&target("db2:1")));
        assert_eq!(resolvers.0.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn names_resolve_and_addresses_need_not() {
        let limit = Duration::from_secs(5);
        assert_eq!(resolver("127.0.0.9").addresses(limit).await.unwrap(), ["127.0.0.9:1".parse().unwrap()]);
        assert!(resolver("localhost").addresses(limit).await.unwrap().iter().all(|address| address.ip().is_loopback()));
    }

    /// If a query is in progress and never answered, all callers wait concurrently, not one after another.
    #[tokio::test(start_paused = true)]
    async fn a_silent_dns_server_costs_each_its_own_limit() {
        let resolver = resolver("db1.invalid");
        resolver.known.send_modify(|known| known.asked = Some(Instant::now()));
        let began = tokio::time::Instant::now();
        let limit = Duration::from_secs(5);
        let all = (0..100).map(|_| resolver.addresses(limit));
        for answer in futures_util::future::join_all(all).await {
            answer.unwrap_err();
        }
        assert_eq!(began.elapsed(), limit);
    }

    /// An old answer is used after a short wait at most. The new answer is stored whenever it arrives.
    #[tokio::test(start_paused = true)]
    async fn an_old_answer_stands_in_and_a_late_one_is_kept() {
        let resolver = resolver("db1.invalid");
        let old = vec!["10.0.0.1:1".parse().unwrap()];
        let new = vec!["10.0.0.2:1".parse().unwrap()];
        let at = Instant::now().checked_sub(RESOLUTION_FRESH).unwrap();
        let asked = Some(Instant::now());
        resolver.known.send_replace(Resolution { answer: Some((old.clone(), at)), failure: None, asked });
        let began = tokio::time::Instant::now();
        assert_eq!(resolver.addresses(Duration::from_secs(5)).await.unwrap(), old);
        assert!(began.elapsed() <= RESOLUTION_WAIT);
        resolver.known.send_modify(|known| {
            known.asked = None;
            known.answer = Some((new.clone(), Instant::now()));
        });
        assert_eq!(resolver.addresses(Duration::from_secs(5)).await.unwrap(), new);
    }
}
