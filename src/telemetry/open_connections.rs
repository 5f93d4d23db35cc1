//! The table of established connections, bounded by the connection limit.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::connection_info::ConnectionInfo;
use super::outcome::Outcome;
use super::recycle_signal::RecycleSignal;
use crate::mongo::ClientMetadata;
use crate::policy::{Acceptance, Link, LinkRule, Mode, Opening};

/// An established connection. Dereferences to the properties that were known when it was established.
#[derive(Debug)]
pub struct OpenConnection {
    pub(super) info: Box<ConnectionInfo>,
    /// Which openings the route accepts.
    pub acceptance: Acceptance,
    /// How the route chooses the kind of upstream link.
    pub rule: LinkRule,
    /// How the client opened it.
    pub opening: Opening,
    /// The kind of upstream link.
    pub link: Link,
    /// The mode in which it was accepted.
    pub mode: Mode,
    /// Bytes relayed so far.
    pub counters: ByteCounters,
    /// The metadata that the client has sent, `None` inside if it sent none. Not set before its first message is
    /// complete.
    pub(super) client: OnceLock<Option<Box<ClientMetadata>>>,
    /// Whether the connection does not use the MongoDB protocol, or is passed through.
    pub opaque: AtomicBool,
    /// Whether the client has ever sent a request that expects no reply.
    pub unanswered: AtomicBool,
    /// When the last answer began, in milliseconds after the accept, plus one. 0 if a request or a further part of the
    /// answer was relayed since, or if there was no answer yet.
    pub(super) answered_at: AtomicU64,
    /// The request to recycle this connection.
    pub recycling: RecycleSignal,
    /// How it ended.
    pub ended: OnceLock<Outcome>,
}

/// Bytes relayed so far.
#[derive(Debug, Default)]
pub struct ByteCounters {
    /// From the client to the upstream.
    pub inbound: AtomicU64,
    /// From the upstream to the client.
    pub outbound: AtomicU64,
}

impl OpenConnection {
    /// The metadata that the client has sent; `None` if there is none.
    pub fn client(&self) -> Option<&ClientMetadata> {
        self.client.get()?.as_deref()
    }

    /// Records that an answer has begun.
    pub fn answered(&self) {
        let millis = u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.answered_at.store(millis + 1, Ordering::Relaxed);
    }

    /// Records that a request, or a further part of an answer, was relayed.
    pub fn busy(&self) {
        self.answered_at.store(0, Ordering::Relaxed);
    }

    /// For how long nothing was relayed; `None` if that is not known.
    pub fn idle_for(&self) -> Option<Duration> {
        let answered = self.answered_at.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.accepted.elapsed().saturating_sub(Duration::from_millis(answered)))
    }

    /// Whether this is a connection of an outbound route.
    pub fn is_outbound(&self) -> bool {
        self.acceptance == Acceptance::Outbound
    }
}

impl Deref for OpenConnection {
    type Target = ConnectionInfo;

    fn deref(&self) -> &ConnectionInfo {
        &self.info
    }
}

/// The open connections.
#[derive(Debug, Default)]
pub struct OpenConnections(Mutex<HashMap<u64, Arc<OpenConnection>>>);

impl OpenConnections {
    /// Returns all open connections, oldest first.
    pub fn list(&self) -> Vec<Arc<OpenConnection>> {
        self.list_with(|| ()).1
    }

    /// As [`OpenConnections::list`], and also returns the result of `read`, which is called under the lock of the
    /// table. [`OpenConnections::remove`] counts an ended connection under the same lock, so a connection is either in
    /// the list or in the counts that `read` finds.
    pub fn list_with<T>(&self, read: impl FnOnce() -> T) -> (T, Vec<Arc<OpenConnection>>) {
        let (read, mut open) = {
            let table = self.table();
            (read(), table.values().cloned().collect::<Vec<_>>())
        };
        open.sort_unstable_by_key(|open| open.id);
        (read, open)
    }

    /// The number of open connections.
    pub fn count(&self) -> usize {
        self.table().len()
    }

    /// Number of open inbound plaintext connections whose client has not sent a complete message yet, by address.
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

    /// Adds a connection if `holds` returns true under the lock of the table. Returns that value.
    pub(super) fn add_if(&self, open: &Arc<OpenConnection>, holds: impl FnOnce() -> bool) -> bool {
        let mut table = self.table();
        let holds = holds();
        if holds {
            table.insert(open.id, Arc::clone(open));
        }
        holds
    }

    /// Removes a connection that has ended, and calls `count` under the same lock.
    pub(super) fn remove(&self, id: u64, count: impl FnOnce()) {
        let mut table = self.table();
        table.remove(&id);
        count();
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<OpenConnection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
