//! The accepted connections that wait for a connection slot. The connection limit bounds their number.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::connection_info::{ConnectionInfo, RouteRecord};

/// A connection that waits for a slot.
#[derive(Debug, Clone)]
pub struct QueuedConnection {
    /// Its identifier in logs.
    pub id: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// The route.
    pub route: Arc<RouteRecord>,
    /// When it was accepted.
    pub accepted: Instant,
}

/// The connections that wait for a slot, by identifier, thus oldest first.
#[derive(Debug, Default)]
pub struct QueuedConnections(Mutex<BTreeMap<u64, QueuedConnection>>);

/// Lists a connection as waiting until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct QueueEntry {
    table: Arc<QueuedConnections>,
    id: u64,
}

impl QueuedConnections {
    /// Returns all connections that wait, oldest first.
    pub fn list(&self) -> Vec<QueuedConnection> {
        self.table().values().cloned().collect()
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<u64, QueuedConnection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueEntry {
    pub(super) fn new(table: Arc<QueuedConnections>, info: &ConnectionInfo) -> QueueEntry {
        let &ConnectionInfo { id, peer, ref route, accepted, .. } = info;
        let waiting = QueuedConnection { id, peer, route: Arc::clone(route), accepted };
        table.table().insert(id, waiting);
        QueueEntry { table, id }
    }
}

impl Drop for QueueEntry {
    fn drop(&mut self) {
        self.table.table().remove(&self.id);
    }
}
