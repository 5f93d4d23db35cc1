//! The table of established connections. Bounded by the slots, without which nothing gets here.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::net::Counters;
use crate::policy::{Link, Mode, Opening};

/// One established connection.
#[derive(Debug)]
pub struct Open {
    /// The connection's number in the log.
    pub id: u64,
    /// The client.
    pub peer: SocketAddr,
    /// The route's name.
    pub route: Arc<str>,
    /// How it opened.
    pub opening: Opening,
    /// What its upstream link is.
    pub link: Link,
    /// The mode it was judged by.
    pub mode: Mode,
    /// The snapshot it was judged by.
    pub generation: u64,
    /// When it was established.
    pub since: Instant,
    /// Bytes so far.
    pub counters: Arc<Counters>,
}

/// The open connections.
#[derive(Debug, Default)]
pub struct Live(Mutex<HashMap<u64, Arc<Open>>>);

impl Live {
    /// All that are open now, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Open>> {
        let mut open: Vec<_> = self.table().values().cloned().collect();
        open.sort_unstable_by_key(|open| open.id);
        open
    }

    /// How many are open now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table().len()
    }

    pub(super) fn add(&self, open: Open) {
        self.table().insert(open.id, Arc::new(open));
    }

    pub(super) fn remove(&self, id: u64) {
        self.table().remove(&id);
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Open>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
