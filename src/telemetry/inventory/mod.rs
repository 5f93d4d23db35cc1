//! Who was seen, and how: the answer to "who is still on plaintext?".
//!
//! A bounded table, a row for each address, kind and application. An address has a bounded number of rows; its further
//! applications share one. When the table is full, rows outside the guard's window go first, then the addresses with the
//! most rows share theirs. A plaintext row that is lost within the window is counted, because then the table does not
//! know everyone any more.

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

use crate::limits::{GUARD_WINDOW, INVENTORY_ACCEPTED};
use crate::mongo::ClientMetadata;

pub use image::InventoryImage;
use key::Key;
pub use key::{ClientIdentity, InvalidClientKey, Scope, Transport};
use table::{Copied, Row, Table};

/// Everyone who was seen.
#[derive(Debug)]
pub struct Inventory {
    table: Mutex<Table>,
    /// Grows with every change: what is saved and what is not.
    revision: Arc<AtomicU64>,
}

/// A client that is connected. Dropping it is its leaving.
#[derive(Debug)]
pub struct InventoryGuard(Arc<Row>);

/// A row, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryRow {
    /// The application at its address.
    pub identity: ClientIdentity,
    /// How it came.
    pub kind: Transport,
    /// Its driver's version.
    pub driver_version: Option<String>,
    /// Of a row that stands for many: about how many names that were.
    pub more_names: Option<u64>,
    /// Connections open now.
    pub open: u64,
    /// Connections ever.
    pub total: u64,
    /// Of those, turned away.
    pub refused: u64,
    /// Milliseconds since 1970.
    pub first_seen: i64,
    /// Milliseconds since 1970.
    pub last_seen: i64,
    /// Whether it was accepted by name.
    pub accepted: bool,
}

/// An application that would be turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockingClient {
    /// The application at its address.
    pub identity: ClientIdentity,
    /// Its driver's version, of the row last seen.
    pub driver_version: Option<String>,
    /// Where it stands for many: about how many names that were.
    pub more_names: Option<u64>,
    /// Connections open now.
    pub open: u64,
    /// Milliseconds since 1970; now, if one is open.
    pub last_seen: i64,
}

impl BlockingClient {
    /// Its driver, with the version if that is known.
    #[must_use]
    pub fn driver(&self) -> Option<String> {
        let name = self.identity.driver.as_deref()?;
        Some(self.driver_version.as_ref().map_or_else(|| name.to_owned(), |version| format!("{name} {version}")))
    }

    fn never_seen(identity: ClientIdentity) -> BlockingClient {
        BlockingClient { identity, driver_version: None, more_names: None, open: 0, last_seen: i64::MIN }
    }
}

impl Inventory {
    /// A client is connected.
    pub fn open(&self, ip: IpAddr, kind: Transport, client: ClientMetadata, now: i64) -> InventoryGuard {
        // Under the lock, so that the row is open before it may be taken out.
        let mut table = self.table();
        let row = table.row(Key { ip: ip.to_canonical(), kind, client, more: false }, now, &self.revision);
        row.total.fetch_add(1, Ordering::Relaxed);
        row.open.fetch_add(1, Ordering::Relaxed);
        row.last_seen.fetch_max(now, Ordering::Relaxed);
        drop(table);
        self.changed();
        InventoryGuard(row)
    }

    /// A client without TLS was turned away.
    pub fn refused(&self, ip: IpAddr, client: ClientMetadata, now: i64) {
        let key = Key { ip: ip.to_canonical(), kind: Transport::Plaintext, client, more: false };
        self.table().row(key, now, &self.revision).add(1, 1, now, now);
        self.changed();
    }

    /// Everyone, by address.
    #[must_use]
    pub fn rows(&self) -> Vec<InventoryRow> {
        let Copied { rows, accepted } = self.table().copied();
        let mut rows: Vec<_> = rows.iter().map(|(key, row)| row.seen(key, &accepted)).collect();
        rows.sort_by(|a, b| (&a.identity, a.kind, &a.driver_version).cmp(&(&b.identity, b.kind, &b.driver_version)));
        rows
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table().len()
    }

    /// Whether nobody was seen yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Plaintext rows lost to the bound within the window.
    #[must_use]
    pub fn lost(&self, now: i64) -> u64 {
        let table = self.table();
        if table.lost_at.saturating_add(table.window) >= now { table.lost } else { 0 }
    }

    /// Connections open now that found no room for a row: those without TLS, and those with it.
    #[must_use]
    pub fn unlisted(&self) -> (u64, u64) {
        let table = self.table();
        let [plaintext, tls] = &table.unlisted;
        (plaintext.open.load(Ordering::Relaxed), tls.open.load(Ordering::Relaxed))
    }

    /// How long a client that has left still counts; decides which rows matter when the table is full.
    pub fn set_window(&self, window: Duration) {
        self.table().window = millis(window);
    }

    /// The applications that `requireSSL` would turn away: plaintext open now, or seen within the window and not by TLS
    /// since; accepted ones excepted. A window of zero counts open ones only. Of members too only open ones count: they
    /// come as their own policy says, not as a configuration that someone has to change.
    ///
    /// Only a row of the same name at the same address shows that an application has moved. A client without a name counts
    /// until the window is over, or it is accepted. `unheard` are open connections, by address, that have not said yet
    /// whose they are.
    #[must_use]
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

    /// The same of those who come by TLS, whom `disabled` would turn away. Nobody is accepted for that. Of members without
    /// a name only open connections count: nothing would show that they have gone back.
    #[must_use]
    pub fn tls_blockers(&self, window: Duration, now: i64) -> Vec<BlockingClient> {
        let copied = self.table().copied();
        let is_tls = |kind| kind != Transport::Plaintext;
        let mut staying = copied.staying(is_tls, millis(window), now, &BTreeMap::new(), |_| true);
        staying.retain(|one| !one.identity.is_member() || one.identity.is_named() || one.open > 0);
        staying
    }

    /// Takes an application off the blockers ("I know, refuse it"), or puts it back. Whether it was ever seen; none if
    /// there is no room for more.
    pub fn accept(&self, identity: ClientIdentity, accepted: bool) -> Option<bool> {
        let known = self.table().copied().rows.iter().any(|(key, _)| identity.includes(&ClientIdentity::of(key)));
        let mut table = self.table();
        let room = table.accepted.len() < INVENTORY_ACCEPTED || table.accepted.contains(&identity);
        let names = Arc::make_mut(&mut table.accepted);
        match (accepted, room) {
            (true, false) => return None,
            (true, true) => drop(names.insert(identity)),
            (false, _) => drop(names.remove(&identity)),
        }
        drop(table);
        self.changed();
        Some(known)
    }

    /// A number that is another after every change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    fn changed(&self) {
        self.revision.fetch_add(1, Ordering::Relaxed);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
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
    fn seen(&self, key: &Key, accepted: &BTreeSet<ClientIdentity>) -> InventoryRow {
        let identity = ClientIdentity::of(key);
        InventoryRow {
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

/// Milliseconds since 1970 now.
#[must_use]
pub fn now_millis() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Default for Inventory {
    fn default() -> Inventory {
        let revision = Arc::default();
        Inventory { table: Mutex::new(Table::new(millis(GUARD_WINDOW), &revision)), revision }
    }
}
