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

/// The policy that a connection is judged by and the TLS material that it is served with.
#[derive(Debug)]
pub struct Snapshot {
    /// The policy's mode.
    pub mode: Mode,
    /// Counts the snapshots from 1; a later one is higher.
    pub generation: u64,
    /// Certificates, trust, ticket keys, sessions.
    pub tls: Arc<Material>,
    pending: PendingCounts,
}

/// The number of pending connections of a snapshot, by the modes that they do not conform to and by whether their TLS is
/// terminated. A pending connection is admitted and not established yet.
#[derive(Debug)]
struct PendingCounts([[AtomicUsize; 2]; NonConformingModes::COUNT]);

/// Counts one pending connection until dropped.
#[derive(Debug)]
pub struct PendingConnection {
    snapshot: Arc<Snapshot>,
    non_conforming_modes: NonConformingModes,
    terminated: bool,
}

/// The settings that a connection copies at accept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tuning {
    /// The timeouts.
    pub timeouts: Timeouts,
    /// The style of refusals.
    pub refusal: RefusalStyle,
}

/// Replaces the snapshot; there is one.
#[derive(Debug)]
pub struct SnapshotWriter(Arc<SnapshotCell>);

/// Reads the snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotReader(Arc<SnapshotCell>);

#[derive(Debug)]
struct SnapshotCell {
    current: ArcSwap<Snapshot>,
    /// Earlier snapshots. Each is alive while a pending connection or a reader holds it, which bounds their number.
    earlier: Mutex<Vec<Weak<Snapshot>>>,
}

impl Snapshot {
    /// The first one.
    #[must_use]
    pub fn new(mode: Mode, generation: u64, tls: Arc<Material>) -> Snapshot {
        Snapshot { mode, generation, tls, pending: PendingCounts::default() }
    }

    /// The number of pending connections of this snapshot that `newer` would not admit.
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
    /// Counts a connection that this snapshot lets in.
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

    /// The number of pending connections that the current snapshot would not admit. Each is judged again before it is
    /// established.
    #[must_use]
    pub fn pending_non_conforming(&self) -> usize {
        let now = self.load();
        let earlier = self.0.earlier();
        let others = earlier.iter().filter_map(Weak::upgrade).filter(|snapshot| !Arc::ptr_eq(snapshot, &now));
        others.map(|snapshot| snapshot.pending_non_conforming(&now)).sum()
    }
}
