//! The rows of the inventory, and the choice of rows to remove when a bound is reached.
//!
//! A client can invent any number of application names, so the number of rows per address is bounded. Further names
//! share a row, which counts and blocks like any other. When the table is full, rows outside of the guard window are
//! removed first; then the rows of the addresses or IPv6 networks with the most rows are merged into one shared row
//! each. Rows within the window are lost only in a flood of different addresses, and each loss of a plaintext row is
//! counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::blocking::BlockingClient;
use super::key::{ClientIdentity, RowGroup, RowKey, Transport};
use super::names::Names;
use crate::limits::{INVENTORY_EVICTED, INVENTORY_FULL, INVENTORY_NAMES, INVENTORY_ROWS};
use crate::mongo::ClientMetadata;

#[derive(Debug)]
pub(super) struct InventoryTable {
    rows: HashMap<Arc<RowKey>, Arc<Row>>,
    /// Rows by group, without shared rows.
    groups: HashMap<RowGroup, Vec<KeyedRow>>,
    pub(super) accepted: Arc<BTreeSet<ClientIdentity>>,
    /// The guard window in milliseconds.
    pub(super) window: i64,
    /// Number of plaintext rows that were lost to the bound since the last window without a loss.
    pub(super) lost: u64,
    /// When such a row was last lost.
    pub(super) lost_at: i64,
    /// Until this time, in milliseconds since 1970, the table is not searched for removable rows: the last search found
    /// none.
    full_until: i64,
    /// The number of the next new row.
    pub(super) next_number: u64,
    /// Connections without a row: plaintext, and TLS.
    pub(super) unlisted: [Arc<Row>; 2],
}

/// A row and its key.
type KeyedRow = (Arc<RowKey>, Arc<Row>);

/// The counts of a row, which can be updated without the table's lock.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// The row's number, which no other row gets, even after this row is removed.
    pub(super) number: u64,
    pub(super) open: AtomicU64,
    pub(super) total: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) first_seen: AtomicI64,
    pub(super) last_seen: AtomicI64,
    /// The application names of a shared row.
    pub(super) names: Option<Box<Names>>,
    /// The inventory's revision.
    pub(super) revision: Arc<AtomicU64>,
}

/// A copy of the table, which can be searched without the table's lock.
pub(super) struct TableCopy {
    pub(super) rows: Vec<KeyedRow>,
    pub(super) accepted: Arc<BTreeSet<ClientIdentity>>,
}

impl InventoryTable {
    pub(super) fn new(window: i64, revision: &Arc<AtomicU64>) -> InventoryTable {
        let unlisted = || Arc::new(Row { revision: Arc::clone(revision), ..Row::default() });
        InventoryTable {
            rows: HashMap::new(),
            groups: HashMap::new(),
            accepted: Arc::default(),
            window,
            lost: 0,
            lost_at: i64::MIN,
            full_until: i64::MIN,
            next_number: 1,
            unlisted: [unlisted(), unlisted()],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn copied(&self) -> TableCopy {
        let rows = self.rows.iter().map(|(key, row)| (Arc::clone(key), Arc::clone(row))).collect();
        TableCopy { rows, accepted: Arc::clone(&self.accepted) }
    }

    /// Returns the row with this key, which is created if necessary. If the group is full of rows within the guard
    /// window, returns the group's shared row. If there is no room in the table, returns the row of the unlisted
    /// connections.
    pub(super) fn row(&mut self, key: RowKey, now: i64, revision: &Arc<AtomicU64>) -> Arc<Row> {
        if let Some(row) = self.rows.get(&key) {
            return Arc::clone(row);
        }
        let named = self.groups.get(&key.group()).map_or(0, Vec::len);
        if key.more || named < INVENTORY_NAMES || self.forget_one(key.group(), now) {
            return self.make(key, now, revision);
        }
        let row = self.row(key.folded(key.ip), now, revision);
        row.note_name(&key.client);
        row
    }

    fn make(&mut self, key: RowKey, now: i64, revision: &Arc<AtomicU64>) -> Arc<Row> {
        if self.rows.len() >= INVENTORY_ROWS && now >= self.full_until {
            self.make_room(now, revision);
        }
        if self.rows.len() >= INVENTORY_ROWS {
            self.lose(u64::from(key.kind == Transport::Plaintext), now);
            return Arc::clone(&self.unlisted[usize::from(key.kind != Transport::Plaintext)]);
        }
        let row = Arc::new(Row::new(self.next_number, now, key.more, revision));
        self.next_number += 1;
        let key = Arc::new(key);
        if !key.more {
            self.groups.entry(key.group()).or_default().push((Arc::clone(&key), Arc::clone(&row)));
        }
        self.rows.insert(key, Arc::clone(&row));
        row
    }

    fn remove(&mut self, key: &Arc<RowKey>) -> Option<Arc<Row>> {
        if let Some(group) = self.groups.get_mut(&key.group()) {
            group.retain(|(one, _)| !Arc::ptr_eq(one, key));
            if group.is_empty() {
                self.groups.remove(&key.group());
            }
        }
        self.rows.remove(key)
    }

    /// Removes the oldest row of a group that is outside of the guard window. Returns `false` if there is none.
    fn forget_one(&mut self, group: RowGroup, now: i64) -> bool {
        let since = now.saturating_sub(self.window);
        let rows = self.groups.get(&group).into_iter().flatten();
        let old = rows.filter_map(|(key, row)| Some((row.closed()?, key))).filter(|(last_seen, _)| *last_seen < since);
        let Some(key) = old.min_by_key(|(last_seen, _)| *last_seen).map(|(_, key)| Arc::clone(key)) else {
            return false;
        };
        self.remove(&key).is_some()
    }

    /// Removes many rows at once, so that the table is seldom searched during a flood. Rows with open connections are
    /// kept.
    fn make_room(&mut self, now: i64, revision: &Arc<AtomicU64>) {
        let since = now.saturating_sub(self.window);
        let asked_for = |key: &RowKey, last_seen: i64| key.kind == Transport::Plaintext && last_seen >= since;
        let freed = self.evict(|_, last_seen| last_seen < since, now) > 0
            || self.fold(now, revision) > 0
            || self.evict(|key, last_seen| !asked_for(key, last_seen), now) > 0
            || self.evict(|_, _| true, now) > 0;
        if !freed {
            self.full_until = now.saturating_add(INVENTORY_FULL.as_millis().try_into().unwrap_or(i64::MAX));
        }
    }

    /// Removes rows, least recently seen first. Returns their number.
    fn evict(&mut self, may: impl Fn(&RowKey, i64) -> bool, now: i64) -> usize {
        let since = now.saturating_sub(self.window);
        let mut closed: Vec<_> = self
            .rows
            .iter()
            .filter_map(|(key, row)| Some((row.closed()?, key)))
            .filter(|(last_seen, key)| may(key, *last_seen))
            .map(|(last_seen, key)| (last_seen, Arc::clone(key)))
            .collect();
        closed.sort_unstable_by_key(|(last_seen, _)| *last_seen);
        closed.truncate(INVENTORY_EVICTED);
        let is_loss = |(last_seen, key): &&(i64, Arc<RowKey>)| key.kind == Transport::Plaintext && *last_seen >= since;
        let lost = closed.iter().filter(is_loss).count();
        for (_, key) in &closed {
            self.remove(key);
        }
        self.lose(lost as u64, now);
        closed.len()
    }

    /// Merges the rows of the addresses or IPv6 networks with the most rows into one shared row each. Returns the
    /// number of rows removed.
    fn fold(&mut self, now: i64, revision: &Arc<AtomicU64>) -> usize {
        let mut groups = BTreeMap::<RowGroup, Vec<Arc<RowKey>>>::new();
        for (key, _) in self.rows.iter().filter(|(_, row)| row.closed().is_some()) {
            let group = key.group().of_network();
            // Merging a shared row into itself would free nothing.
            if !(key.more && key.ip == group.ip) {
                groups.entry(group).or_default().push(Arc::clone(key));
            }
        }
        let mut groups: Vec<_> = groups.into_iter().filter(|(_, keys)| keys.len() > 1).collect();
        groups.sort_by_key(|(_, keys)| std::cmp::Reverse(keys.len()));
        let before = self.rows.len();
        for (group, keys) in groups {
            if before - self.rows.len() >= INVENTORY_EVICTED {
                break;
            }
            let rows: Vec<_> = keys.iter().filter_map(|key| Some((key, self.remove(key)?))).collect();
            // There is room, because more than one row was removed.
            for (key, row) in rows {
                self.row(key.folded(group.ip), now, revision).take_in(&key.client, &row);
            }
        }
        before - self.rows.len()
    }

    fn lose(&mut self, count: u64, now: i64) {
        if count > 0 {
            // A window without a loss begins a new count.
            let stale = self.lost_at.saturating_add(self.window) < now;
            self.lost = if stale { count } else { self.lost + count };
            self.lost_at = now;
        }
    }
}

impl Row {
    fn new(number: u64, now: i64, is_for_many: bool, revision: &Arc<AtomicU64>) -> Row {
        Row {
            number,
            first_seen: AtomicI64::new(now),
            last_seen: AtomicI64::new(now),
            names: is_for_many.then(Box::default),
            revision: Arc::clone(revision),
            ..Row::default()
        }
    }

    /// When the row's client was last seen; `None` if a connection is open.
    fn closed(&self) -> Option<i64> {
        (self.open.load(Ordering::Relaxed) == 0).then(|| self.last_seen.load(Ordering::Relaxed))
    }

    fn note_name(&self, client: &ClientMetadata) {
        if let Some(names) = &self.names {
            names.add(client);
        }
    }

    /// Adds the counts of another row, which has no open connections.
    fn take_in(&self, client: &ClientMetadata, other: &Row) {
        self.add(
            other.total.load(Ordering::Relaxed),
            other.refused.load(Ordering::Relaxed),
            other.first_seen.load(Ordering::Relaxed),
            other.last_seen.load(Ordering::Relaxed),
        );
        match (&self.names, &other.names) {
            (Some(names), Some(others)) => names.add_count(names.count().saturating_add(others.count())),
            _ => self.note_name(client),
        }
    }

    pub(super) fn add(&self, total: u64, refused: u64, first_seen: i64, last_seen: i64) {
        self.total.fetch_add(total, Ordering::Relaxed);
        self.refused.fetch_add(refused, Ordering::Relaxed);
        self.first_seen.fetch_min(first_seen, Ordering::Relaxed);
        self.last_seen.fetch_max(last_seen, Ordering::Relaxed);
    }
}

impl TableCopy {
    /// Returns the clients of the selected kind, plaintext or TLS, that have not moved to the other since.
    /// `unheard` is the number of open connections of the selected kind whose clients have not sent a complete message
    /// yet, by address.
    ///
    /// A client without a name never counts as moved, because other connections from its address may belong to another
    /// client.
    pub(super) fn staying(
        &self,
        is_kind: impl Fn(Transport) -> bool,
        window: i64,
        now: i64,
        unheard: &BTreeMap<IpAddr, u64>,
        counts: impl Fn(&ClientIdentity) -> bool,
    ) -> Vec<BlockingClient> {
        let since = now.saturating_sub(window);
        let mut found = BTreeMap::<ClientIdentity, BlockingClient>::new();
        let mut moved = BTreeMap::<ClientIdentity, i64>::new();
        for (key, row) in &self.rows {
            let identity = ClientIdentity::of(key);
            let open = row.open.load(Ordering::Relaxed);
            let last_seen = if open > 0 { now } else { row.last_seen.load(Ordering::Relaxed) };
            if !is_kind(key.kind) {
                let latest = moved.entry(identity).or_insert(last_seen);
                *latest = last_seen.max(*latest);
                continue;
            }
            let one = found.entry(identity.clone()).or_insert_with(|| BlockingClient::never_seen(identity));
            one.open += open;
            one.number = Some(one.number.map_or(row.number, |number| number.min(row.number)));
            if let Some(names) = &row.names {
                one.more_names = Some(one.more_names.unwrap_or_default().saturating_add(names.count()));
            }
            if last_seen > one.last_seen {
                one.last_seen = last_seen;
                one.driver_version.clone_from(&key.client.driver_version);
            }
        }
        for (ip, open) in unheard {
            let identity = ClientIdentity::nameless(*ip);
            let one = found.entry(identity.clone()).or_insert_with(|| BlockingClient::never_seen(identity));
            one.open += open;
            one.last_seen = now;
        }
        let stays = |one: &BlockingClient| {
            let within = window > 0 && one.last_seen >= since;
            let seen_moved = moved.get(&one.identity).is_some_and(|seen| *seen > one.last_seen);
            let went_over = one.identity.is_named() && seen_moved;
            counts(&one.identity) && (one.open > 0 || (within && !went_over))
        };
        found.into_values().filter(stays).collect()
    }
}
