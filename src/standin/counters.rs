//! Counters of the stand-in since its start.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::commands::COMMANDS;

/// A reading of the counters. They are read one after the other, so they are consistent only while nothing is served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StandInCounters {
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Commands answered, errors included.
    pub operations: u64,
    /// Commands answered, by name; unknown commands count as `other`. Names that were never sent are missing.
    pub commands: BTreeMap<&'static str, u64>,
    /// Connections closed because of bytes that are not a message, or because of an unsupported operation.
    pub malformed: u64,
}

impl StandInCounters {
    /// The number of answers to a command, by the name in [`StandInCounters::commands`].
    pub fn command(&self, name: &str) -> u64 {
        self.commands.get(name).copied().unwrap_or_default()
    }
}

#[derive(Debug, Default)]
pub(super) struct LiveCounters {
    pub(super) accepted: AtomicU64,
    pub(super) closed: AtomicU64,
    pub(super) malformed: AtomicU64,
    /// One counter for each of [`COMMANDS`].
    known: [AtomicU64; COMMANDS.len()],
    other: AtomicU64,
}

impl LiveCounters {
    /// Counts the command of this index in [`COMMANDS`]; `None` for an unknown one.
    pub(super) fn command(&self, place: Option<usize>) {
        place.and_then(|place| self.known.get(place)).unwrap_or(&self.other).fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> StandInCounters {
        let closed = self.closed.load(Relaxed);
        let accepted = self.accepted.load(Relaxed);
        let mut commands = BTreeMap::new();
        let names = COMMANDS.iter().map(|(name, _)| *name).chain(["other"]);
        for (name, count) in names.zip(self.known.iter().chain([&self.other])) {
            let count = count.load(Relaxed);
            if count > 0 {
                commands.insert(name, count);
            }
        }
        StandInCounters {
            connections_accepted: accepted,
            connections_open: accepted - closed,
            operations: commands.values().sum(),
            commands,
            malformed: self.malformed.load(Relaxed),
        }
    }
}
