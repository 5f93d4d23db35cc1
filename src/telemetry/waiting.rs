//! The accepted connections that wait for a connection slot, bounded by the accept queue.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::connection_info::{ConnectionInfo, RouteRecord};

/// A connection that waits for a slot.
#[derive(Debug, Clone)]
pub struct WaitingConnection {
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
pub struct WaitingConnections(Mutex<BTreeMap<u64, WaitingConnection>>);

/// Lists a connection as waiting until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct WaitingEntry {
    table: Arc<WaitingConnections>,
    id: u64,
}

impl WaitingConnections {
    /// Returns all connections that wait, oldest first.
    pub fn list(&self) -> Vec<WaitingConnection> {
        self.table().values().cloned().collect()
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<u64, WaitingConnection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitingEntry {
    pub(super) fn new(table: Arc<WaitingConnections>, info: &ConnectionInfo) -> WaitingEntry {
        let &ConnectionInfo { id, peer, ref route, accepted, .. } = info;
        let waiting = WaitingConnection { id, peer, route: Arc::clone(route), accepted };
        table.table().insert(id, waiting);
        WaitingEntry { table, id }
    }
}

impl Drop for WaitingEntry {
    fn drop(&mut self) {
        self.table.table().remove(&self.id);
    }
}
