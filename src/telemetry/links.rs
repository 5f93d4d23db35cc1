//! The destinations of outbound routes: where each was dialled, and what came of it. Bounded; one short lock for each
//! dial, none for a byte.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::pki_types::ServerName;

use super::inventory::now_millis;
use crate::limits::LINKS;
use crate::policy::Link;
use crate::route::RouteId;
use crate::tls::PeerFault;

/// The table.
#[derive(Debug, Default)]
pub struct Links(Mutex<HashMap<LinkKey, LinkRecord>>);

/// A destination of a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkKey {
    /// The route.
    pub route: RouteId,
    /// The destination as records write it.
    pub destination: Arc<str>,
}

/// What is known of a destination.
#[derive(Debug, Clone)]
pub struct LinkRecord {
    /// Its addresses, where the kernel has redirected connections to it.
    pub redirected: Option<RedirectedTo>,
    /// The names of which its certificate must have one, as of the last dial.
    pub names: Vec<ServerName<'static>>,
    /// The kind of the last link.
    pub link: Link,
    /// The last dial whose link the mode has chosen, in milliseconds since 1970: not of TLS that goes through.
    pub by_policy: Option<i64>,
    /// The last link that was made, likewise.
    pub last_ok: Option<i64>,
    /// The last that was not.
    pub last_failed: Option<i64>,
    /// Why.
    pub failure: Option<LinkFailure>,
}

/// Where a redirected connection leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedirectedTo {
    /// Where it was going.
    pub original: SocketAddr,
    /// What is dialled: another address for the server that this proxy fronts.
    pub dialled: SocketAddr,
}

/// Why a link was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFailure {
    /// In words.
    pub text: String,
    /// What is wrong with the server.
    pub fault: PeerFault,
}

impl LinkRecord {
    /// When it was last dialled.
    #[must_use]
    pub fn last(&self) -> i64 {
        self.last_ok.max(self.last_failed).unwrap_or_default()
    }

    /// Why the last dial failed, if it did.
    #[must_use]
    pub fn failing(&self) -> Option<&LinkFailure> {
        self.failure.as_ref().filter(|_| self.last_failed > self.last_ok)
    }
}

impl Links {
    /// A destination was dialled; why in vain, if so.
    pub fn dialled(
        &self,
        key: LinkKey,
        redirected: Option<RedirectedTo>,
        names: &[ServerName<'static>],
        link: Link,
        failure: Option<LinkFailure>,
    ) {
        self.note(key, redirected, names, link, failure, now_millis());
    }

    fn note(
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
            // Two in one millisecond: the later one counts.
            Some(failure) => {
                record.last_failed = Some(now.max(record.last_ok.map_or(now, |ok| ok + 1)));
                record.failure = Some(failure);
            }
        }
    }

    /// All of it, in order.
    #[must_use]
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
            links.note(key("a:1"), None, &[], Link::Tls, failed, now);
            assert_eq!(failing().as_deref(), expected, "{now}");
        }
        links.note(key("a:1"), None, &[], Link::Tls, failure("c"), 3);
        assert_eq!(failing().as_deref(), Some("c"), "in the same millisecond as the success before");
        // TLS of the local server's own is no matter of the mode.
        links.note(key("a:1"), None, &[], Link::Untouched, None, 9);
        let record = &links.list()[0].1;
        assert_eq!((record.by_policy, record.last_ok, record.link), (Some(3), Some(9), Link::Untouched));
    }

    #[test]
    fn the_longest_ago_makes_room() {
        let links = Links::default();
        for number in 0..LINKS {
            links.note(key(&format!("a{number}:1")), None, &[], Link::Plaintext, None, 1000 + number as i64);
        }
        links.note(key("a0:1"), None, &[], Link::Plaintext, None, 5000);
        links.note(key("new:1"), None, &[], Link::Plaintext, None, 5001);
        let known: Vec<_> = links.list().into_iter().map(|(key, _)| key.destination).collect();
        assert_eq!(known.len(), LINKS);
        for (name, there) in [("a0:1", true), ("a1:1", false), ("new:1", true)] {
            assert_eq!(known.iter().any(|known| **known == *name), there, "{name}");
        }
    }
}
