//! The one pointer: mode, generation and TLS material, changed together and read together.
//!
//! A [`SnapshotReader`] has no way to write; the data plane holds nothing else. A connection loads the snapshot after its opening
//! is known, and compares it once more right before it is established. In between it is counted with the snapshot, so
//! that connections which a newer one would not make are known while they are still under way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;

use crate::limits::Timeouts;
use crate::policy::{Mode, NonConformingModes, RefusalStyle};
use crate::tls::Material;

/// What one connection is judged and served by.
#[derive(Debug)]
pub struct Snapshot {
    /// The policy's mode.
    pub mode: Mode,
    /// PendingCounts the snapshots from 1; a later one is higher.
    pub generation: u64,
    /// Certificates, trust, ticket keys, sessions.
    pub tls: Arc<Material>,
    pending: PendingCounts,
}

/// How many connections were judged by a snapshot and are not established yet, by the modes that would not make them and
/// by whether their TLS ends here.
#[derive(Debug)]
struct PendingCounts([[AtomicUsize; 2]; NonConformingModes::COUNT]);

/// One of those, until this is dropped.
#[derive(Debug)]
pub struct PendingConnection {
    snapshot: Arc<Snapshot>,
    non_conforming_modes: NonConformingModes,
    terminated: bool,
}

/// What a connection needs before it is judged; copied at accept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tuning {
    /// The waits.
    pub timeouts: Timeouts,
    /// How refusals are given.
    pub refusal: RefusalStyle,
}

/// The side that changes it; there is one.
#[derive(Debug)]
pub struct SnapshotWriter(Arc<SnapshotCell>);

/// The side that reads it.
#[derive(Debug, Clone)]
pub struct SnapshotReader(Arc<SnapshotCell>);

#[derive(Debug)]
struct SnapshotCell {
    current: ArcSwap<Snapshot>,
    /// Those that were in force. Each is held by the connections that it let in and that are still under way, so that
    /// there are never more than those, and whoever has just loaded one.
    earlier: Mutex<Vec<Weak<Snapshot>>>,
}

impl Snapshot {
    /// The first one.
    #[must_use]
    pub fn new(mode: Mode, generation: u64, tls: Arc<Material>) -> Snapshot {
        Snapshot { mode, generation, tls, pending: PendingCounts::default() }
    }

    /// How many connections that this one let in, and that are still under way, `newer` would not make.
    fn pending_non_conforming(&self, newer: &Snapshot) -> usize {
        let judges_again = !Arc::ptr_eq(&self.tls, &newer.tls) && newer.tls.verifies_clients();
        let sum = |non_conforming_modes: NonConformingModes| {
            let [others, terminated] = &self.pending.0[non_conforming_modes.number()];
            let refused = non_conforming_modes.has(newer.mode);
            let counted = |count: &AtomicUsize, counts: bool| if counts { count.load(Ordering::SeqCst) } else { 0 };
            counted(others, refused) + counted(terminated, refused || judges_again)
        };
        NonConformingModes::all().map(sum).sum()
    }
}

impl PendingConnection {
    /// PendingCounts a connection that this snapshot lets in.
    #[must_use]
    pub fn count(
        snapshot: &Arc<Snapshot>,
        non_conforming_modes: NonConformingModes,
        terminated: bool,
    ) -> PendingConnection {
        let counted = PendingConnection { snapshot: Arc::clone(snapshot), non_conforming_modes, terminated };
        counted.counter().fetch_add(1, Ordering::SeqCst);
        counted
    }

    fn counter(&self) -> &AtomicUsize {
        &self.snapshot.pending.0[self.non_conforming_modes.number()][usize::from(self.terminated)]
    }
}

impl Drop for PendingConnection {
    fn drop(&mut self) {
        self.counter().fetch_sub(1, Ordering::SeqCst);
    }
}

impl Default for PendingCounts {
    fn default() -> PendingCounts {
        PendingCounts(std::array::from_fn(|_| Default::default()))
    }
}

impl SnapshotCell {
    fn earlier(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Snapshot>>> {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SnapshotWriter {
    /// The first snapshot, generation 1.
    #[must_use]
    pub fn new(mode: Mode, tls: Arc<Material>) -> SnapshotWriter {
        let current = ArcSwap::from_pointee(Snapshot::new(mode, 1, tls));
        SnapshotWriter(Arc::new(SnapshotCell { current, earlier: Mutex::default() }))
    }

    /// A reader of it.
    #[must_use]
    pub fn reader(&self) -> SnapshotReader {
        SnapshotReader(Arc::clone(&self.0))
    }

    /// The snapshot in force.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.current.load_full()
    }

    /// Puts the next one in force. Every connection that is established after this returns has it, or a later one.
    pub fn commit(&mut self, mode: Mode, tls: Arc<Material>) -> u64 {
        let last = self.current();
        let generation = last.generation + 1;
        {
            // Before it is replaced: whoever sees the next one finds this among the earlier ones.
            let mut earlier = self.0.earlier();
            earlier.retain(|snapshot| snapshot.strong_count() > 0);
            earlier.push(Arc::downgrade(&last));
        }
        self.0.current.store(Arc::new(Snapshot::new(mode, generation, tls)));
        generation
    }
}

impl SnapshotReader {
    /// The snapshot in force.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.current.load_full()
    }

    /// Whether that is this one.
    #[must_use]
    pub fn is_in_force(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.0.current.load(), snapshot)
    }

    /// How many connections are under way that the snapshot in force would not make. None of them is established before it
    /// is judged again.
    #[must_use]
    pub fn pending_non_conforming(&self) -> usize {
        let now = self.load();
        let earlier = self.0.earlier();
        let others = earlier.iter().filter_map(Weak::upgrade).filter(|snapshot| !Arc::ptr_eq(snapshot, &now));
        others.map(|snapshot| snapshot.pending_non_conforming(&now)).sum()
    }
}
