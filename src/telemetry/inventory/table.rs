//! The rows, the bounds on them, and which give way when a bound is reached.
//!
//! Names are what a client says of itself, so one stranger can invent any number. Each address therefore keeps a bounded
//! number of them, and further ones share a row, which counts and blocks as any other. When the whole table is full,
//! rows that the guard does not ask for any more go first; then the addresses with the most names give up theirs for
//! their shared row. Only a flood of different addresses leads to a loss, which is counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::BlockingClient;
use super::key::{ClientIdentity, Group, Key, Transport};
use super::names::Names;
use crate::limits::{INVENTORY_EVICTED, INVENTORY_FULL, INVENTORY_NAMES, INVENTORY_ROWS};
use crate::mongo::ClientMetadata;

#[derive(Debug)]
pub(super) struct Table {
    rows: HashMap<Arc<Key>, Arc<Row>>,
    /// The named rows, by what bounds their number.
    groups: HashMap<Group, Vec<Entry>>,
    pub(super) accepted: Arc<BTreeSet<ClientIdentity>>,
    /// The guard's window in milliseconds.
    pub(super) window: i64,
    /// Plaintext rows lost to the bound while they were within the window.
    pub(super) lost: u64,
    /// When the last of them was.
    pub(super) lost_at: i64,
    /// Until then the table is full, and is not searched again for room: milliseconds since 1970.
    full_until: i64,
    /// Connections that found no room for a row: those without TLS, and those with it.
    pub(super) unlisted: [Arc<Row>; 2],
}

/// A row and its key.
type Entry = (Arc<Key>, Arc<Row>);

/// What is counted of a row, without the table's lock.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) open: AtomicU64,
    pub(super) total: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) first_seen: AtomicI64,
    pub(super) last_seen: AtomicI64,
    /// Of a row that stands for many names.
    pub(super) names: Option<Box<Names>>,
    /// The inventory's: a client that leaves changes it, too.
    pub(super) revision: Arc<AtomicU64>,
}

/// The table at one moment, to be looked through without its lock: connections wait for that.
pub(super) struct Copied {
    pub(super) rows: Vec<Entry>,
    pub(super) accepted: Arc<BTreeSet<ClientIdentity>>,
}

impl Table {
    pub(super) fn new(window: i64, revision: &Arc<AtomicU64>) -> Table {
        let unlisted = || Arc::new(Row { revision: Arc::clone(revision), ..Row::default() });
        Table {
            rows: HashMap::new(),
            groups: HashMap::new(),
            accepted: Arc::default(),
            window,
            lost: 0,
            lost_at: i64::MIN,
            full_until: i64::MIN,
            unlisted: [unlisted(), unlisted()],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn copied(&self) -> Copied {
        let rows = self.rows.iter().map(|(key, row)| (Arc::clone(key), Arc::clone(row))).collect();
        Copied { rows, accepted: Arc::clone(&self.accepted) }
    }

    /// The row of a key, made if need be, or the row that it shares with others.
    pub(super) fn row(&mut self, key: Key, now: i64, revision: &Arc<AtomicU64>) -> Arc<Row> {
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

    fn make(&mut self, key: Key, now: i64, revision: &Arc<AtomicU64>) -> Arc<Row> {
        if self.rows.len() >= INVENTORY_ROWS && now >= self.full_until {
            self.make_room(now, revision);
        }
        if self.rows.len() >= INVENTORY_ROWS {
            self.lose(u64::from(key.kind == Transport::Plaintext), now);
            return Arc::clone(&self.unlisted[usize::from(key.kind != Transport::Plaintext)]);
        }
        let row = Arc::new(Row::new(now, key.more, revision));
        let key = Arc::new(key);
        if !key.more {
            self.groups.entry(key.group()).or_default().push((Arc::clone(&key), Arc::clone(&row)));
        }
        self.rows.insert(key, Arc::clone(&row));
        row
    }

    fn remove(&mut self, key: &Arc<Key>) -> Option<Arc<Row>> {
        if let Some(group) = self.groups.get_mut(&key.group()) {
            group.retain(|(one, _)| !Arc::ptr_eq(one, key));
            if group.is_empty() {
                self.groups.remove(&key.group());
            }
        }
        self.rows.remove(key)
    }

    /// Takes out the oldest row of a group for which the guard does not ask any more; false if there is none.
    fn forget_one(&mut self, group: Group, now: i64) -> bool {
        let since = now.saturating_sub(self.window);
        let rows = self.groups.get(&group).into_iter().flatten();
        let old = rows.filter_map(|(key, row)| Some((row.closed()?, key))).filter(|(last_seen, _)| *last_seen < since);
        let Some(key) = old.min_by_key(|(last_seen, _)| *last_seen).map(|(_, key)| Arc::clone(key)) else {
            return false;
        };
        self.remove(&key).is_some()
    }

    /// Makes room for many rows at once, so that a flood pays for the search only seldom. Rows with open connections stay.
    fn make_room(&mut self, now: i64, revision: &Arc<AtomicU64>) {
        let since = now.saturating_sub(self.window);
        let asked_for = |key: &Key, last_seen: i64| key.kind == Transport::Plaintext && last_seen >= since;
        let freed = self.evict(|_, last_seen| last_seen < since, now) > 0
            || self.fold(now, revision) > 0
            || self.evict(|key, last_seen| !asked_for(key, last_seen), now) > 0
            || self.evict(|_, _| true, now) > 0;
        if !freed {
            self.full_until = now.saturating_add(INVENTORY_FULL.as_millis().try_into().unwrap_or(i64::MAX));
        }
    }

    /// Takes out rows, those last seen longest ago first. Returns how many.
    fn evict(&mut self, may: impl Fn(&Key, i64) -> bool, now: i64) -> usize {
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
        let is_loss = |(last_seen, key): &&(i64, Arc<Key>)| key.kind == Transport::Plaintext && *last_seen >= since;
        let lost = closed.iter().filter(is_loss).count();
        for (_, key) in &closed {
            self.remove(key);
        }
        self.lose(lost as u64, now);
        closed.len()
    }

    /// Puts the named rows of the addresses, or IPv6 networks, that have the most of them into their shared rows. Returns
    /// how many rows that has freed.
    fn fold(&mut self, now: i64, revision: &Arc<AtomicU64>) -> usize {
        let mut groups = BTreeMap::<Group, Vec<Arc<Key>>>::new();
        for (key, _) in self.rows.iter().filter(|(_, row)| row.closed().is_some()) {
            let group = key.group().of_network();
            // A shared row that the others would go into is no gain.
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
            // There is room: more than one has gone.
            for (key, row) in rows {
                self.row(key.folded(group.ip), now, revision).take_in(&key.client, &row);
            }
        }
        before - self.rows.len()
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

impl Row {
    fn new(now: i64, is_for_many: bool, revision: &Arc<AtomicU64>) -> Row {
        Row {
            first_seen: AtomicI64::new(now),
            last_seen: AtomicI64::new(now),
            names: is_for_many.then(Box::default),
            revision: Arc::clone(revision),
            ..Row::default()
        }
    }

    /// When it was last seen; none if a connection of it is open.
    fn closed(&self) -> Option<i64> {
        (self.open.load(Ordering::Relaxed) == 0).then(|| self.last_seen.load(Ordering::Relaxed))
    }

    fn note_name(&self, client: &ClientMetadata) {
        if let Some(names) = &self.names {
            names.add(client);
        }
    }

    /// Adds what another row has counted, of which no connection is open.
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

impl Copied {
    /// The applications that come by one kind and have not gone over to the other. `unheard`: clients of that kind by
    /// address that are connected and have not said yet who they are.
    ///
    /// One that says nothing of itself has never gone over: whatever else comes from its address may be another.
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
