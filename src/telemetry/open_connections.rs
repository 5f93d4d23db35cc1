//! The table of established connections. Bounded by the slots, without which nothing gets here.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::connection_info::ConnectionInfo;
use super::outcome::Outcome;
use super::recycling::RecycleSignal;
use crate::mongo::ClientMetadata;
use crate::policy::{Acceptance, Link, LinkRule, Mode, Opening};

/// One established connection. What was known when it was established is read as its own.
#[derive(Debug)]
pub struct OpenConnection {
    pub(super) known: Box<ConnectionInfo>,
    /// What the route does with openings.
    pub acceptance: Acceptance,
    /// How the route chooses its links.
    pub rule: LinkRule,
    /// How it opened.
    pub opening: Opening,
    /// What its upstream link is.
    pub link: Link,
    /// The mode it was judged by.
    pub mode: Mode,
    /// Bytes so far.
    pub counters: ByteCounters,
    /// Who the client says it is, or that it does not say, once that is known. Boxed: most is room for texts that some
    /// never send.
    pub(super) client: OnceLock<Option<Box<ClientMetadata>>>,
    /// Set once it is known not to speak MongoDB, or not to us.
    pub opaque: AtomicBool,
    /// Set once its client has sent a request that wants no answer.
    pub unanswered: AtomicBool,
    /// The wish that it end.
    pub recycling: RecycleSignal,
    /// How it ended.
    pub ended: OnceLock<Outcome>,
}

/// Bytes moved so far.
#[derive(Debug, Default)]
pub struct ByteCounters {
    /// From the client to the upstream.
    pub inbound: AtomicU64,
    /// From the upstream to the client.
    pub outbound: AtomicU64,
}

impl OpenConnection {
    /// Who the client says it is, if it has.
    #[must_use]
    pub fn client(&self) -> Option<&ClientMetadata> {
        self.client.get()?.as_deref()
    }
}

impl Deref for OpenConnection {
    type Target = ConnectionInfo;

    fn deref(&self) -> &ConnectionInfo {
        &self.known
    }
}

/// The open connections.
#[derive(Debug, Default)]
pub struct OpenConnections(Mutex<HashMap<u64, Arc<OpenConnection>>>);

impl OpenConnections {
    /// All that are open now, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<OpenConnection>> {
        self.list_with(|| ()).1
    }

    /// The same, and what `read` returns, which is called while the table is locked: a connection that ends is counted by
    /// [`OpenConnections::remove`] under the same lock, so it is either in the list or in the counts that `read` finds.
    pub fn list_with<T>(&self, read: impl FnOnce() -> T) -> (T, Vec<Arc<OpenConnection>>) {
        let (read, mut open) = {
            let table = self.table();
            (read(), table.values().cloned().collect::<Vec<_>>())
        };
        open.sort_unstable_by_key(|open| open.id);
        (read, open)
    }

    /// How many are open now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table().len()
    }

    /// OpenConnection inbound connections without TLS, by address, whose client has not sent a whole message yet.
    pub(super) fn unheard(&self) -> BTreeMap<IpAddr, u64> {
        let mut unheard = BTreeMap::new();
        for open in self.table().values() {
            let is_inbound = open.acceptance != Acceptance::Outbound;
            if is_inbound && open.opening == Opening::Plaintext && open.client.get().is_none() {
                *unheard.entry(open.peer.ip().to_canonical()).or_default() += 1;
            }
        }
        unheard
    }

    /// Adds one, if `holds` says so while the table is locked. Whether it did.
    pub(super) fn add_if(&self, open: &Arc<OpenConnection>, holds: impl FnOnce() -> bool) -> bool {
        let mut table = self.table();
        let holds = holds();
        if holds {
            table.insert(open.id, Arc::clone(open));
        }
        holds
    }

    /// Takes one out that has ended, and counts it in the same step.
    pub(super) fn remove(&self, id: u64, count: impl FnOnce()) {
        let mut table = self.table();
        table.remove(&id);
        count();
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<OpenConnection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
