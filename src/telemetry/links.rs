//! The destinations of outbound routes and the result of the last dial to each. The table is bounded; a dial locks it
//! once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::pki_types::ServerName;

use crate::limits::LINKS;
use crate::policy::Link;
use crate::route::RouteId;
use crate::tls::PeerFault;

/// The destinations of outbound routes.
#[derive(Debug, Default)]
pub struct Links(Mutex<HashMap<LinkKey, LinkRecord>>);

/// A destination of a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkKey {
    /// The route.
    pub route: RouteId,
    /// The destination as shown in logs.
    pub destination: Arc<str>,
}

/// The state of a destination.
#[derive(Debug, Clone)]
pub struct LinkRecord {
    /// Its addresses, if the kernel redirects connections to it.
    pub redirected: Option<RedirectedTo>,
    /// The names that its certificate may have, as of the last dial.
    pub names: Vec<ServerName<'static>>,
    /// The kind of the last link.
    pub link: Link,
    /// When it was last dialled with a link chosen by the mode, in milliseconds since 1970. Dials for TLS that is
    /// passed through do not count.
    pub by_policy: Option<i64>,
    /// When a dial last succeeded, in milliseconds since 1970.
    pub last_ok: Option<i64>,
    /// When a dial last failed, in milliseconds since 1970.
    pub last_failed: Option<i64>,
    /// The reason of the last failure.
    pub failure: Option<LinkFailure>,
}

/// The addresses of a redirected connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedirectedTo {
    /// The original destination.
    pub original: SocketAddr,
    /// The address to dial. Differs from `original` for the server that this proxy fronts.
    pub dialled: SocketAddr,
}

/// The reason why a dial failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFailure {
    /// The reason as text.
    pub text: String,
    /// What is wrong at the server, as far as the remedy depends on it.
    pub fault: PeerFault,
}

impl LinkRecord {
    /// When it was last dialled, in milliseconds since 1970.
    pub fn last(&self) -> i64 {
        self.last_ok.max(self.last_failed).unwrap_or_default()
    }

    /// The reason why the last dial failed; `None` if it succeeded.
    pub fn failing(&self) -> Option<&LinkFailure> {
        self.failure.as_ref().filter(|_| self.last_failed > self.last_ok)
    }
}

impl Links {
    /// Records the result of a dial at `now`, in milliseconds since 1970.
    pub fn dialled(
        &self,
        key: LinkKey,
        redirected: Option<RedirectedTo>,
        names: &[ServerName<'static>],
        link: Link,
        failure: Option<LinkFailure>,
        now: i64,
    ) {
        let mut table = self.table();
        if table.len() >= LINKS && !table.contains_key(&key) {
            let oldest = table.iter().min_by_key(|(_, record)| record.last()).map(|(key, _)| key.clone());
            oldest.and_then(|key| table.remove(&key));
        }
        let record = table.entry(key).or_insert_with(|| LinkRecord {
            redirected,
            names: names.to_vec(),
            link,
            by_policy: None,
            last_ok: None,
            last_failed: None,
            failure: None,
        });
        record.redirected = redirected;
        record.link = link;
        if record.names != names {
            record.names = names.to_vec();
        }
        if link != Link::Untouched {
            record.by_policy = Some(now);
        }
        match failure {
            None => (record.last_ok, record.failure) = (Some(now), None),
            // A failure in the same millisecond as a success counts as the later one, because it was recorded later.
            Some(failure) => {
                record.last_failed = Some(now.max(record.last_ok.map_or(now, |ok| ok + 1)));
                record.failure = Some(failure);
            }
        }
    }

    /// All destinations, sorted.
    pub fn list(&self) -> Vec<(LinkKey, LinkRecord)> {
        let mut all: Vec<_> = self.table().iter().map(|(key, record)| (key.clone(), record.clone())).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    fn table(&self) -> MutexGuard<'_, HashMap<LinkKey, LinkRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{LinkFailure, LinkKey, Links};
    use crate::limits::LINKS;
    use crate::policy::Link;
    use crate::route::RouteId;
    use crate::tls::PeerFault;

    fn key(destination: &str) -> LinkKey {
        LinkKey { route: RouteId::Transparent, destination: destination.into() }
    }

    fn failure(text: &str) -> Option<LinkFailure> {
        Some(LinkFailure { text: text.into(), fault: PeerFault::Other })
    }

    #[test]
    fn the_last_dial_says_whether_a_link_fails() {
        let links = Links::default();
        let rows = [(1, None, None), (2, failure("a"), Some("a")), (3, failure("b"), Some("b")), (3, None, None)];
        let failing = || links.list()[0].1.failing().map(|failure| failure.text.clone());
        for (now, failed, expected) in rows {
            links.dialled(key("a:1"), None, &[], Link::Tls, failed, now);
            assert_eq!(failing().as_deref(), expected, "{now}");
        }
        links.dialled(key("a:1"), None, &[], Link::Tls, failure("c"), 3);
        assert_eq!(failing().as_deref(), Some("c"), "in the same millisecond as the success before");
        // TLS that the local server itself speaks does not depend on the mode.
        links.dialled(key("a:1"), None, &[], Link::Untouched, None, 9);
        let record = &links.list()[0].1;
        assert_eq!((record.by_policy, record.last_ok, record.link), (Some(3), Some(9), Link::Untouched));
    }

    #[test]
    fn the_longest_ago_makes_room() {
        let links = Links::default();
        for number in 0..LINKS {
            links.dialled(key(&format!("a{number}:1")), None, &[], Link::Plaintext, None, 1000 + number as i64);
        }
        links.dialled(key("a0:1"), None, &[], Link::Plaintext, None, 5000);
        links.dialled(key("new:1"), None, &[], Link::Plaintext, None, 5001);
        let known: Vec<_> = links.list().into_iter().map(|(key, _)| key.destination).collect();
        assert_eq!(known.len(), LINKS);
        for (name, there) in [("a0:1", true), ("a1:1", false), ("new:1", true)] {
            assert_eq!(known.iter().any(|known| **known == *name), there, "{name}");
        }
    }
}
