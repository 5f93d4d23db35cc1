//! The snapshot: mode, generation and TLS material behind one pointer, so that they are changed and read together.
//!
//! The data plane only holds a [`SnapshotReader`], which cannot write. A connection loads the snapshot once its opening
//! is known. Right before the connection is established, it checks whether this snapshot is still in force. Between the
//! two, the connection is counted as pending with this snapshot. These counts show how many pending connections do not
//! conform to a newer snapshot.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;

use crate::limits::Timeouts;
use crate::policy::{Mode, NonConformingModes, RefusalStyle};
use crate::tls::Material;

/// The policy by which a connection is judged, and the TLS material with which it is served.
#[derive(Debug)]
pub struct Snapshot {
    /// The policy's mode.
    pub mode: Mode,
    /// The number of the snapshot. The first has number 1, or, in a process that has replaced another one, the number
    /// after the last of the replaced process. Each later snapshot has the next number.
    pub generation: u64,
    /// Certificates, trusted CAs and revocation lists, ticket keys, and TLS sessions.
    pub tls: Arc<Material>,
    pending: PendingCounts,
}

/// The number of pending connections of a snapshot, by the modes to which they do not conform and by whether their TLS
/// is terminated. A pending connection is admitted but not established yet.
#[derive(Debug)]
struct PendingCounts([[AtomicUsize; 2]; NonConformingModes::COUNT]);

/// Counts one pending connection until dropped.
#[derive(Debug)]
pub struct PendingConnection {
    snapshot: Arc<Snapshot>,
    non_conforming_modes: NonConformingModes,
    terminated: bool,
}

/// The settings that a connection copies when it gets its slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tuning {
    /// The timeouts.
    pub timeouts: Timeouts,
    /// The style of refusals.
    pub refusal: RefusalStyle,
}

/// Replaces the snapshot. There is only one writer.
#[derive(Debug)]
pub struct SnapshotWriter(Arc<SnapshotCell>);

/// Reads the snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotReader(Arc<SnapshotCell>);

#[derive(Debug)]
struct SnapshotCell {
    current: ArcSwap<Snapshot>,
    /// Earlier snapshots. Each commit removes those that no pending connection and no reader holds any more, so their
    /// number is bounded.
    earlier: Mutex<Vec<Weak<Snapshot>>>,
}

impl Snapshot {
    /// Creates a snapshot without pending connections.
    pub fn new(mode: Mode, generation: u64, tls: Arc<Material>) -> Snapshot {
        Snapshot { mode, generation, tls, pending: PendingCounts::default() }
    }

    /// Returns the number of pending connections of this snapshot that `newer` does not admit, or whose client has to
    /// be verified again by the CAs of `newer`.
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
    /// Counts a connection that `snapshot` has admitted, until the returned value is dropped.
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
    /// Creates the first snapshot, with generation 1.
    pub fn new(mode: Mode, tls: Arc<Material>) -> SnapshotWriter {
        SnapshotWriter::continuing(mode, 1, tls)
    }

    /// Creates the first snapshot, with this generation. A process that replaces another one passes that process's last
    /// generation plus 1.
    pub fn continuing(mode: Mode, generation: u64, tls: Arc<Material>) -> SnapshotWriter {
        let current = ArcSwap::from_pointee(Snapshot::new(mode, generation, tls));
        SnapshotWriter(Arc::new(SnapshotCell { current, earlier: Mutex::default() }))
    }

    /// Returns a reader of the snapshot.
    pub fn reader(&self) -> SnapshotReader {
        SnapshotReader(Arc::clone(&self.0))
    }

    /// Returns the snapshot in force.
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.current.load_full()
    }

    /// Puts a new snapshot in force and returns its generation. Every connection that is established after this returns
    /// uses the new snapshot or a later one.
    pub fn commit(&mut self, mode: Mode, tls: Arc<Material>) -> u64 {
        let last = self.current();
        let generation = last.generation + 1;
        {
            // Added before the snapshot is replaced, so that a reader that sees the new snapshot finds the old one
            // here.
            let mut earlier = self.0.earlier();
            earlier.retain(|snapshot| snapshot.strong_count() > 0);
            earlier.push(Arc::downgrade(&last));
        }
        self.0.current.store(Arc::new(Snapshot::new(mode, generation, tls)));
        generation
    }
}

impl SnapshotReader {
    /// Returns the snapshot in force.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.current.load_full()
    }

    /// Returns whether `snapshot` is the one in force.
    pub fn is_in_force(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.0.current.load(), snapshot)
    }

    /// Returns the number of pending connections that the current snapshot does not admit, or whose client it has to
    /// verify again. Each connection is judged again before it is established.
    pub fn pending_non_conforming(&self) -> usize {
        let now = self.load();
        let earlier = self.0.earlier();
        let others = earlier.iter().filter_map(Weak::upgrade).filter(|snapshot| !Arc::ptr_eq(snapshot, &now));
        others.map(|snapshot| snapshot.pending_non_conforming(&now)).sum()
    }
}
