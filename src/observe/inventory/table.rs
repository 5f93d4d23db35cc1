//! The rows, the bound on them, and who matters least when it is reached.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::Unmoved;
use super::key::{Identity, Key, Kind};
use crate::limits::{INVENTORY_EVICTED, INVENTORY_ROWS};

#[derive(Debug)]
pub(super) struct Table {
    pub(super) rows: HashMap<Arc<Key>, Arc<Row>>,
    pub(super) accepted: Arc<BTreeSet<Identity>>,
    /// The guard's window in milliseconds.
    pub(super) window: i64,
    /// Plaintext rows lost to the bound while they were within the window.
    pub(super) lost: u64,
    /// When the last of them was.
    pub(super) lost_at: i64,
}

/// What is counted of a row, without the table's lock.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) open: AtomicU64,
    pub(super) total: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) first_seen: i64,
    pub(super) last_seen: AtomicI64,
    /// The inventory's: a client that leaves changes it, too.
    pub(super) revision: Arc<AtomicU64>,
}

/// The table at one moment, to be looked through without its lock: connections wait for that.
pub(super) struct Copied {
    pub(super) rows: Vec<(Arc<Key>, Arc<Row>)>,
    pub(super) accepted: Arc<BTreeSet<Identity>>,
}

impl Table {
    pub(super) fn copied(&self) -> Copied {
        let rows = self.rows.iter().map(|(key, row)| (Arc::clone(key), Arc::clone(row))).collect();
        Copied { rows, accepted: Arc::clone(&self.accepted) }
    }

    /// The row of a key, made if need be; none if the table is full of rows that are open.
    pub(super) fn row(&mut self, key: Key, now: i64, revision: &Arc<AtomicU64>) -> Option<Arc<Row>> {
        if let Some(row) = self.rows.get(&key) {
            return Some(Arc::clone(row));
        }
        if self.rows.len() >= INVENTORY_ROWS {
            self.make_room(now);
        }
        if self.rows.len() >= INVENTORY_ROWS {
            self.lose(u64::from(key.kind == Kind::Plaintext), now);
            return None;
        }
        let row = Arc::new(Row::new(now, revision));
        self.rows.insert(Arc::new(key), Arc::clone(&row));
        Some(row)
    }

    /// Takes out the rows that matter least: so many at once that a flood pays for the search only seldom.
    fn make_room(&mut self, now: i64) {
        let since = now.saturating_sub(self.window);
        let matters = |key: &Key, last_seen: i64| key.kind == Kind::Plaintext && last_seen >= since;
        let mut closed: Vec<_> = self
            .rows
            .iter()
            .filter(|(_, row)| row.open.load(Ordering::Relaxed) == 0)
            .map(|(key, row)| (row.last_seen.load(Ordering::Relaxed), key))
            .map(|(last_seen, key)| (matters(key, last_seen), last_seen, Arc::clone(key)))
            .collect();
        closed.sort_unstable_by_key(|(matters, last_seen, _)| (*matters, *last_seen));
        closed.truncate(INVENTORY_EVICTED);
        let lost = closed.iter().filter(|(matters, ..)| *matters).count();
        for (.., key) in &closed {
            self.rows.remove(key);
        }
        self.lose(lost as u64, now);
    }

    fn lose(&mut self, count: u64, now: i64) {
        if count > 0 {
            // Losses that are older than the window are nobody's matter any more.
            let stale = self.lost_at.saturating_add(self.window) < now;
            self.lost = if stale { count } else { self.lost + count };
            self.lost_at = now;
        }
    }
}

impl Copied {
    /// The applications that come by one kind and have not gone over to the other. `unheard`: clients of that kind by
    /// address that are connected and have not said yet who they are.
    ///
    /// One that says nothing of itself has never gone over: whatever else comes from its address may be another.
    pub(super) fn staying(
        &self,
        is_kind: impl Fn(Kind) -> bool,
        window: i64,
        now: i64,
        unheard: &BTreeMap<IpAddr, u64>,
        counts: impl Fn(&Identity) -> bool,
    ) -> Vec<Unmoved> {
        let since = now.saturating_sub(window);
        let mut found = BTreeMap::<Identity, Unmoved>::new();
        let mut moved = BTreeMap::<Identity, i64>::new();
        for (key, row) in &self.rows {
            let identity = Identity::of(key);
            let open = row.open.load(Ordering::Relaxed);
            let last_seen = if open > 0 { now } else { row.last_seen.load(Ordering::Relaxed) };
            if !is_kind(key.kind) {
                let latest = moved.entry(identity).or_insert(last_seen);
                *latest = last_seen.max(*latest);
                continue;
            }
            let one = found.entry(identity.clone()).or_insert_with(|| Unmoved::never_seen(identity));
            one.open += open;
            if last_seen > one.last_seen {
                one.last_seen = last_seen;
                one.driver_version.clone_from(&key.client.driver_version);
            }
        }
        for (ip, open) in unheard {
            let identity = Identity::nameless(*ip);
            let one = found.entry(identity.clone()).or_insert_with(|| Unmoved::never_seen(identity));
            one.open += open;
            one.last_seen = now;
        }
        let stays = |one: &Unmoved| {
            let within = window > 0 && one.last_seen >= since;
            let seen_moved = moved.get(&one.identity).is_some_and(|seen| *seen > one.last_seen);
            let went_over = one.identity.is_named() && seen_moved;
            counts(&one.identity) && (one.open > 0 || (within && !went_over))
        };
        found.into_values().filter(stays).collect()
    }
}
