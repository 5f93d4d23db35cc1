//! The table of established connections. Bounded by the slots, without which nothing gets here.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use rustls::pki_types::CertificateDer;

use super::outcome::Outcome;
use super::recycling::Recycling;
use crate::mongo::Client;
use crate::net::Counters;
use crate::policy::{Acceptance, Link, LinkRule, Mode, Opening};

/// One established connection.
#[derive(Debug)]
pub struct Open {
    /// The connection's number in the log.
    pub id: u64,
    /// The client.
    pub peer: SocketAddr,
    /// The route's name.
    pub route: Arc<str>,
    /// What the route does with openings.
    pub acceptance: Acceptance,
    /// How the route chooses its links.
    pub rule: LinkRule,
    /// How it opened.
    pub opening: Opening,
    /// What its upstream link is.
    pub link: Link,
    /// The version agreed on with the client.
    pub tls_version: Option<&'static str>,
    /// The subject of the client's certificate, verified.
    pub client_subject: Option<String>,
    /// That certificate and its chain.
    pub client_chain: Option<Arc<[CertificateDer<'static>]>>,
    /// Where it leads.
    pub upstream: Option<Arc<str>>,
    /// Our own address there: what the server takes for the client's.
    pub upstream_local: Option<SocketAddr>,
    /// The mode it was judged by.
    pub mode: Mode,
    /// The snapshot it was judged by.
    pub generation: u64,
    /// When it was established.
    pub since: Instant,
    /// Bytes so far.
    pub counters: Arc<Counters>,
    /// Who the client says it is, once that is known.
    pub client: OnceLock<Client>,
    /// Set once it is known not to speak MongoDB, or not to us.
    pub opaque: AtomicBool,
    /// The wish that it end.
    pub recycling: Recycling,
    /// How it ended.
    pub ended: OnceLock<Outcome>,
}

/// The open connections.
#[derive(Debug, Default)]
pub struct Live(Mutex<HashMap<u64, Arc<Open>>>);

impl Live {
    /// All that are open now, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Open>> {
        let mut open: Vec<_> = self.table().values().cloned().collect();
        open.sort_unstable_by_key(|open| open.id);
        open
    }

    /// How many are open now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table().len()
    }

    pub(super) fn add(&self, open: Arc<Open>) {
        self.table().insert(open.id, open);
    }

    pub(super) fn remove(&self, id: u64) {
        self.table().remove(&id);
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Open>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
