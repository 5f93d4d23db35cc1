//! The one pointer: mode, generation and TLS material, changed together and read together.
//!
//! A [`Reader`] has no way to write; the data plane holds nothing else. A connection loads the snapshot once,
//! after its opening is known, and carries it to its end.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::limits::Timeouts;
use crate::policy::{Mode, RefusalStyle};
use crate::tls::Material;

/// What one connection is judged and served by.
#[derive(Debug)]
pub struct Snapshot {
    /// The policy's mode.
    pub mode: Mode,
    /// Counts the snapshots from 1; a later one is higher.
    pub generation: u64,
    /// Certificates, trust, ticket keys, sessions.
    pub tls: Arc<Material>,
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
pub struct Writer(Arc<ArcSwap<Snapshot>>);

/// The side that reads it.
#[derive(Debug, Clone)]
pub struct Reader(Arc<ArcSwap<Snapshot>>);

impl Writer {
    /// The first snapshot, generation 1.
    #[must_use]
    pub fn new(mode: Mode, tls: Arc<Material>) -> Writer {
        Writer(Arc::new(ArcSwap::from_pointee(Snapshot { mode, generation: 1, tls })))
    }

    /// A reader of it.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader(Arc::clone(&self.0))
    }

    /// The snapshot in force.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Puts the next one in force. Every connection that is judged after this returns has it, or a later one.
    pub fn commit(&mut self, mode: Mode, tls: Arc<Material>) -> u64 {
        let generation = self.0.load().generation + 1;
        self.0.store(Arc::new(Snapshot { mode, generation, tls }));
        generation
    }
}

impl Reader {
    /// The snapshot in force.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }
}
