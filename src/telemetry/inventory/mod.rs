//! The inventory of clients, which lists those that still use plaintext.
//!
//! A bounded table with a row for each address, transport and application. The number of rows per address is bounded;
//! the address's further applications share a row. A client that has disconnected still blocks a change of mode for
//! some time, the *guard window*. When the table is full, rows of clients that were last seen before this window are
//! removed first; then the rows of the addresses or IPv6 networks with the most rows are merged. Each loss of a
//! plaintext row within the window is counted, since the table is incomplete after it.

mod accept;
mod blocking;
mod image;
mod key;
mod names;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::limits::GUARD_WINDOW;
use crate::mongo::ClientMetadata;

pub use accept::AcceptError;
pub use blocking::BlockingClient;
pub use image::InventoryImage;
use key::RowKey;
pub use key::{ClientIdentity, Scope, Transport};
use table::{InventoryTable, Row, TableCopy};

/// The clients that were seen so far.
#[derive(Debug)]
pub struct Inventory {
    table: Mutex<InventoryTable>,
    /// Incremented by every change. Comparing revisions tells whether the table was saved.
    revision: Arc<AtomicU64>,
}

/// A connected client. Dropping the guard records that the client has disconnected.
#[derive(Debug)]
pub struct InventoryGuard(Arc<Row>);

/// A row of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryRow {
    /// Its number, which no other row has, before or after a restart.
    pub number: u64,
    /// The application at its address.
    pub identity: ClientIdentity,
    /// The client's transport.
    pub kind: Transport,
    /// The driver's version.
    pub driver_version: Option<String>,
    /// The approximate number of applications in a shared row.
    pub more_names: Option<u64>,
    /// Number of open connections.
    pub open: u64,
    /// Number of connections so far.
    pub total: u64,
    /// Number of connections that were refused.
    pub refused: u64,
    /// When it was first seen, in milliseconds since 1970.
    pub first_seen: i64,
    /// When it was last seen, in milliseconds since 1970.
    pub last_seen: i64,
    /// Whether an operator has accepted that it will be refused.
    pub accepted: bool,
}

impl Inventory {
    /// Counts a connected client.
    pub fn open(&self, ip: IpAddr, kind: Transport, client: ClientMetadata, now: i64) -> InventoryGuard {
        // The row is opened under the lock, because a row with an open connection is never removed.
        let mut table = self.table();
        let row = table.row(RowKey { ip: ip.to_canonical(), kind, client, more: false }, now, &self.revision);
        row.total.fetch_add(1, Ordering::Relaxed);
        row.open.fetch_add(1, Ordering::Relaxed);
        row.last_seen.fetch_max(now, Ordering::Relaxed);
        drop(table);
        self.changed();
        InventoryGuard(row)
    }

    /// Counts a plaintext client that was refused.
    pub fn refused(&self, ip: IpAddr, client: ClientMetadata, now: i64) {
        let key = RowKey { ip: ip.to_canonical(), kind: Transport::Plaintext, client, more: false };
        self.table().row(key, now, &self.revision).add(1, 1, now, now);
        self.changed();
    }

    /// All rows, by address.
    pub fn rows(&self) -> Vec<InventoryRow> {
        let TableCopy { rows, accepted } = self.table().copied();
        let mut rows: Vec<_> = rows.iter().map(|(key, row)| row.seen(key, &accepted)).collect();
        rows.sort_by(|a, b| (&a.identity, a.kind, &a.driver_version).cmp(&(&b.identity, b.kind, &b.driver_version)));
        rows
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.table().len()
    }

    /// Whether no client was seen so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of plaintext rows that were lost to the bound since the last guard window without a loss.
    pub fn lost(&self, now: i64) -> u64 {
        let table = self.table();
        if table.lost_at.saturating_add(table.window) >= now { table.lost } else { 0 }
    }

    /// Number of open connections without a row because the table is full: plaintext, TLS.
    pub fn unlisted(&self) -> (u64, u64) {
        let table = self.table();
        let [plaintext, tls] = &table.unlisted;
        (plaintext.open.load(Ordering::Relaxed), tls.open.load(Ordering::Relaxed))
    }

    /// Sets the guard window: for how long a client blocks a change of mode after it has disconnected.
    pub fn set_window(&self, window: Duration) {
        self.table().window = millis(window);
    }

    /// Returns the clients that `requireSSL` would refuse: those with open plaintext connections, and those that were
    /// seen within the window, have not used TLS since, and were not accepted. With a window of zero, only open
    /// connections count. For members, only open connections count in any case: their own mode decides how they
    /// connect, not a configuration that has to be changed.
    ///
    /// Only a row of the same application at the same address shows that a client has moved to TLS. A client without a
    /// name counts until the window is over or an operator accepts it. `unheard` is the number of open connections
    /// whose clients have not sent a complete message yet, by address.
    pub fn plaintext_blockers(
        &self,
        window: Duration,
        now: i64,
        unheard: &BTreeMap<IpAddr, u64>,
    ) -> Vec<BlockingClient> {
        let copied = self.table().copied();
        let counts = |identity: &ClientIdentity| !identity.is_in(&copied.accepted);
        let mut staying = copied.staying(|kind| kind == Transport::Plaintext, millis(window), now, unheard, counts);
        staying.retain(|one| !one.identity.is_member() || one.open > 0);
        staying
    }

    /// Returns the clients that `disabled` would refuse: those with open TLS connections, and those that have used TLS
    /// within the window and not plaintext since. Acceptance does not apply. For members without a name, only open
    /// connections count, since no row could show that they went back to plaintext.
    pub fn tls_blockers(&self, window: Duration, now: i64) -> Vec<BlockingClient> {
        let copied = self.table().copied();
        let is_tls = |kind| kind != Transport::Plaintext;
        let mut staying = copied.staying(is_tls, millis(window), now, &BTreeMap::new(), |_| true);
        staying.retain(|one| !one.identity.is_member() || one.identity.is_named() || one.open > 0);
        staying
    }

    /// A number that changes with every change of the inventory.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    fn changed(&self) {
        self.revision.fetch_add(1, Ordering::Relaxed);
    }

    fn table(&self) -> MutexGuard<'_, InventoryTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InventoryGuard {
    fn drop(&mut self) {
        let InventoryGuard(row) = self;
        row.last_seen.fetch_max(now_millis(), Ordering::Relaxed);
        row.open.fetch_sub(1, Ordering::Relaxed);
        row.revision.fetch_add(1, Ordering::Relaxed);
    }
}

impl Row {
    fn seen(&self, key: &RowKey, accepted: &BTreeSet<ClientIdentity>) -> InventoryRow {
        let identity = ClientIdentity::of(key);
        InventoryRow {
            number: self.number,
            accepted: identity.is_in(accepted),
            identity,
            kind: key.kind,
            driver_version: key.client.driver_version.clone(),
            more_names: self.names.as_ref().map(|names| names.count()),
            open: self.open.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            first_seen: self.first_seen.load(Ordering::Relaxed),
            last_seen: self.last_seen.load(Ordering::Relaxed),
        }
    }
}

/// The current time in milliseconds since 1970.
pub fn now_millis() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Default for Inventory {
    fn default() -> Inventory {
        let revision = Arc::default();
        Inventory { table: Mutex::new(InventoryTable::new(millis(GUARD_WINDOW), &revision)), revision }
    }
}
